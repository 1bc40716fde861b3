//! The `bomf` binary; what it does is in `lib.rs`.

fn main() -> std::process::ExitCode {
    bomf::main()
}
