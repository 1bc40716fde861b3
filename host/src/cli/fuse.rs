//! `bomf fuse`: what the user typed.

use std::path::PathBuf;

use clap::builder::{PossibleValue, PossibleValuesParser};
use clap::{Args, ValueEnum};
use fusion::rules::Rule;

const HELP: &str = "\
A member is a safetensors file, a PyTorch state dict (.bin, .pt, .pth; read without executing anything), a GGUF file (F32,
F16, BF16, Q8_0, Q4_0 and Q4_1; quantised numbers are dequantised), an index of several files, a model folder, a
`checkpoint-*` folder of a training, or a LoRA adapter folder as PEFT saves it. All members need the same tensors; of
adapters, ranks, scales and modules may differ.

Options of the methods, as `--option KEY=VALUE`; docs/fuse.md says what they do:
  linear                          normalize=false
  slerp                           t=0.5
  task_arithmetic                 normalize=false, lambda=1
  ties                            density=1, normalize=true, lambda=1, rescale=false
  dare_linear, dare_ties          density=1, normalize=false, lambda=1, rescale=true
  breadcrumbs, breadcrumbs_ties   density=1, gamma=0.01, normalize=false, lambda=1, rescale=false
  model_stock                     filter_wise=false

Examples:
  bomf fuse --member run/checkpoint-800 --member run/checkpoint-1000 --out fused       the plain average
  bomf fuse --member a=0.7 --member b=0.3 --out fused --dtype bf16                     70 % of a, 30 % of b
  bomf fuse --member a=0.7 --member b=0.3 --pattern 'lm_head.*=1,0' --out fused        the head of a alone
  bomf fuse --method ties --option density=0.3 --base b --member x --member y --out c  what x and y learned, on b
  bomf fuse --method slerp --option t=0.3 --member a --member b --out fused            on the arc from a to b
  bomf fuse --member lora-a --member lora-b --lora products --rank 8 --out lora        one adapter of two
  bomf fuse --member lora-a=1 --into model --out merged                                an adapter into its model
  bomf fuse --member a --member b --check                                              where do they differ?
  bomf fuse --replay fused/fusion.json --out again                                     the same bytes again";

/// What to fuse, and how.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct FuseArguments {
    /// How members are combined.
    #[arg(long, value_name = "NAME", value_parser = methods(), default_value = "linear", conflicts_with = "replay")]
    pub method: String,
    /// An option of the method, for example `density=0.3`, or `density=[0.3,0.5]` with one value per member.
    #[arg(long = "option", value_name = "KEY=VALUE", conflicts_with = "replay")]
    pub options: Vec<String>,
    /// The model that the members were trained from, for methods that merge differences from it; for `slerp`, where the arc
    /// begins.
    #[arg(long, value_name = "PATH", conflicts_with = "replay")]
    pub base: Option<PathBuf>,
    /// The model that LoRA adapters are added to, each times its coefficient: the result is a model.
    #[arg(long, value_name = "PATH", conflicts_with_all = ["replay", "base", "lora"])]
    pub into: Option<PathBuf>,
    /// How LoRA adapters become one: by weighted sums of their factors, or of the products of these, taken apart again. Ranks
    /// and scales may differ. By default factors.
    #[arg(long, value_enum, conflicts_with = "replay")]
    pub lora: Option<LoraName>,
    /// The rank of the adapter that `--lora products` makes; by default the largest of the members.
    #[arg(long, value_name = "R", value_parser = clap::value_parser!(u16).range(1..), conflicts_with = "replay")]
    pub rank: Option<u16>,
    /// A member and its coefficient; without any coefficient, all members count the same. Coefficients are taken as they
    /// are and need not sum to 1. May be given more than once.
    #[arg(
        long = "member",
        value_name = "PATH[=COEFFICIENT]",
        required_unless_present = "replay",
        conflicts_with = "replay"
    )]
    pub members: Vec<String>,
    /// Coefficients, one per member, for the tensors whose names fit: `*` stands for any characters, `?` for one. For
    /// `slerp`, its `t`. May be given more than once; the last that fits counts.
    #[arg(
        long = "pattern",
        value_name = "GLOB=C1,C2,...",
        conflicts_with = "replay"
    )]
    pub patterns: Vec<String>,
    /// Seeds what `dare_linear` and `dare_ties` draw at random.
    #[arg(long, value_name = "N", default_value_t = 0, conflicts_with = "replay")]
    pub seed: u64,
    /// Folder to make. Nothing is overwritten; it appears whole or not at all.
    #[arg(long, value_name = "DIR", required_unless_present = "check")]
    pub out: Option<PathBuf>,
    /// Only compare the models: names, shapes, types, vocabularies, settings. Reads no weights and writes nothing.
    #[arg(long, conflicts_with = "replay")]
    pub check: bool,
    /// Do again what a `fusion.json` says. Refuses models whose weights have changed.
    #[arg(long, value_name = "FILE")]
    pub replay: Option<PathBuf>,
    /// Type of the fused tensors; by default that of each tensor in the first member.
    #[arg(long, value_enum, conflicts_with = "replay")]
    pub dtype: Option<DtypeName>,
    /// Type of the sums of `linear`; by default f64 where a member or the output is f64, f32 elsewhere.
    #[arg(long, value_enum, conflicts_with = "replay")]
    pub accumulate: Option<SumName>,
    /// Integers and booleans, which have no average: an error if members differ, or those of the first member.
    #[arg(long, value_enum, default_value = "error", conflicts_with = "replay")]
    pub integers: IntegersName,
    /// Most bytes of data per file, for example 500MB or 2GiB. Adapters are always one file.
    #[arg(long, value_name = "SIZE", default_value = "5GB", value_parser = size, conflicts_with = "replay")]
    pub shard_size: u64,
    /// Most memory for buffers, whatever the size of the members.
    #[arg(long, value_name = "SIZE", default_value = "128MiB", value_parser = size)]
    pub memory: u64,
    /// Threads; by default as many as there are processors.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// Do not take the models' BLAKE3 digests: faster, but a replay cannot tell whether weights have changed.
    #[arg(long)]
    pub no_digests: bool,
}

/// How LoRA adapters become one.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum LoraName {
    /// Sums of factors: cheap and rough.
    Factors,
    /// Sums of products, exact up to the rank.
    Products,
}

/// Types of fused tensors.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum DtypeName {
    F64,
    F32,
    F16,
    Bf16,
}

/// Types of sums.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum SumName {
    F32,
    F64,
}

/// What becomes of integers.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum IntegersName {
    Error,
    First,
}

/// The names of the methods, with what they are called.
fn methods() -> PossibleValuesParser {
    let named = Rule::NAMES.into_iter().filter_map(Rule::named);
    let values = named.map(|rule| PossibleValue::new(rule.name()).help(rule.words()));
    PossibleValuesParser::new(values.collect::<Vec<_>>())
}

/// `300MiB`, `5GB`, or bytes.
fn size(text: &str) -> Result<u64, String> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let unit = match &text[digits..] {
        "" | "B" => 1,
        "KB" => 1000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => 0,
    };
    let number: Option<u64> = text[..digits].parse().ok();
    number
        .and_then(|number| number.checked_mul(unit))
        .filter(|&bytes| bytes > 0)
        .ok_or_else(|| "expected a size such as 500MB or 2GiB".to_owned())
}

#[cfg(test)]
mod tests {
    use fusion::write::SHARD_SIZE;

    use super::*;
    use crate::config::schema;

    #[test]
    fn sizes_have_units() {
        assert_eq!(size("5GB"), Ok(SHARD_SIZE));
        assert_eq!(size("2MiB"), Ok(2 << 20));
        for wrong in [
            "",
            "GB",
            "5TB",
            "-1",
            "0",
            "99999999999999999999",
            "18446744073709551615GB",
        ] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_help_has_every_option_of_every_method_with_its_default() {
        for rule in Rule::NAMES.into_iter().filter_map(Rule::named) {
            let is_its = |line: &&str| {
                line.split([' ', ',']).any(|word| word == rule.name()) && line.contains('=')
            };
            let line = HELP.lines().find(is_its).unwrap();
            let options = schema::options(&rule.schema());
            assert_eq!(line.matches('=').count(), options.len(), "{line}");
            for option in options {
                let default = option.default.unwrap().to_string();
                let shown = format!("{}={}", option.name, default.trim_end_matches(".0"));
                assert!(line.contains(&shown), "{line}: {shown}");
            }
        }
    }
}
