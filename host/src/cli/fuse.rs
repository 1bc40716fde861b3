//! `bomf fuse`: checkpoints that are there already, into one.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use fusion::compare::{self, Difference, Severity};
use fusion::linear::{Effort, Integers, Pattern, Plan};
use fusion::record::{Member, Method, RECORD, Record, companions};
use fusion::write::{Folder, Layout};
use fusion::{Checkpoint, Dtype};
use serde_json::json;

use crate::diagnostics::{Failure, Failures};
use crate::progress::Progress;

const EXAMPLES: &str = "\
A member is a safetensors file, a PyTorch state dict (.bin, .pt, .pth; read without executing anything), a GGUF file (F32,
F16, BF16, Q8_0, Q4_0 and Q4_1; quantised numbers are dequantised), an index of several files, a model folder, a
`checkpoint-*` folder of a training, or a LoRA adapter folder (factors are averaged). All members need the same tensors.

Examples:
  bomf fuse --member run/checkpoint-800 --member run/checkpoint-1000 --out fused       the plain average
  bomf fuse --member a=0.7 --member b=0.3 --out fused --dtype bf16                     70 % of a, 30 % of b
  bomf fuse --member a=0.7 --member b=0.3 --pattern 'lm_head.*=1,0' --out fused        the head of a alone
  bomf fuse --member a --member b --check                                              where do they differ?
  bomf fuse --replay fused/fusion.json --out again                                     the same bytes again";

/// What to fuse, and how.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct FuseArguments {
    /// How members are combined.
    #[arg(long, value_enum, default_value = "linear", conflicts_with = "replay")]
    method: MethodName,
    /// A member and its coefficient; without any coefficient, all members count the same. Coefficients are taken as they
    /// are and need not sum to 1. May be given more than once.
    #[arg(
        long = "member",
        value_name = "PATH[=COEFFICIENT]",
        required_unless_present = "replay",
        conflicts_with = "replay"
    )]
    members: Vec<String>,
    /// Coefficients, one per member, for the tensors whose names fit: `*` stands for any characters, `?` for one. May be given
    /// more than once; the last that fits counts.
    #[arg(
        long = "pattern",
        value_name = "GLOB=C1,C2,...",
        conflicts_with = "replay"
    )]
    patterns: Vec<String>,
    /// Folder to make. Nothing is overwritten; it appears whole or not at all.
    #[arg(long, value_name = "DIR", required_unless_present = "check")]
    out: Option<PathBuf>,
    /// Only compare the members: names, shapes, types, vocabularies, settings. Reads no weights and writes nothing.
    #[arg(long, conflicts_with = "replay")]
    check: bool,
    /// Do again what a `fusion.json` says. Refuses members whose weights have changed.
    #[arg(long, value_name = "FILE")]
    replay: Option<PathBuf>,
    /// Type of the fused tensors; by default that of each tensor in the first member.
    #[arg(long, value_enum, conflicts_with = "replay")]
    dtype: Option<DtypeName>,
    /// Type of the sums; by default f64 where a member or the output is f64, f32 elsewhere.
    #[arg(long, value_enum, conflicts_with = "replay")]
    accumulate: Option<SumName>,
    /// Integers and booleans, which have no average: an error if members differ, or those of the first member.
    #[arg(long, value_enum, default_value = "error", conflicts_with = "replay")]
    integers: IntegersName,
    /// Most bytes of data per file, for example 500MB or 2GiB. Adapters are always one file.
    #[arg(long, value_name = "SIZE", default_value = "5GB", value_parser = size, conflicts_with = "replay")]
    shard_size: u64,
    /// Most memory for buffers, whatever the size of the members.
    #[arg(long, value_name = "SIZE", default_value = "128MiB", value_parser = size)]
    memory: u64,
    /// Threads; by default as many as there are processors.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Do not take the members' BLAKE3 digests: faster, but a replay cannot tell whether weights have changed.
    #[arg(long)]
    no_digests: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum MethodName {
    /// A weighted sum.
    Linear,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum DtypeName {
    F64,
    F32,
    F16,
    Bf16,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum SumName {
    F32,
    F64,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum IntegersName {
    Error,
    First,
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

/// Does what the arguments say, and tells what came of it.
pub fn run(
    arguments: &FuseArguments,
    as_json: bool,
    progress: &Progress,
) -> Result<String, Failures> {
    // 1. What to do.
    let earlier = arguments.replay.as_deref().map(read_record).transpose()?;
    let mut record = match &earlier {
        Some(earlier) => earlier.clone(),
        None => record(arguments)?,
    };
    // 2. Whether the members go together.
    let opened = record
        .members
        .iter()
        .map(|member| Checkpoint::open(&member.path));
    let (members, faults): (Vec<_>, Vec<_>) = opened.partition(Result::is_ok);
    if !faults.is_empty() {
        let faults = faults
            .into_iter()
            .filter_map(Result::err)
            .map(Failure::from);
        return Err(Failures(faults.collect()));
    }
    let members: Vec<Checkpoint> = members.into_iter().filter_map(Result::ok).collect();
    let differences = compare::differences(&members).map_err(Failure::from)?;
    let names: Vec<String> = record
        .members
        .iter()
        .map(|m| m.path.display().to_string())
        .collect();
    let table = compare::table(&differences, &names);
    if differences
        .iter()
        .any(|difference| difference.severity == Severity::Error)
    {
        let mut failure = Failure::input(
            "fuse::members",
            "--member",
            "found members that do not go together",
        );
        failure.excerpt = Some(table);
        return Err(failure.into());
    }
    say_what_is_dequantised(&members, progress);
    let Some(out) = arguments.out.as_deref().filter(|_| !arguments.check) else {
        return Ok(checked(&members, &differences, &table, as_json));
    };
    table.lines().for_each(|line| progress.say(line));
    warn_of_sum(&record, progress);
    // 3. The fusion.
    fuse(
        &mut record,
        earlier.as_ref(),
        &members,
        out,
        arguments,
        progress,
    )?;
    Ok(match as_json {
        true => format!(
            "{}\n",
            json!({"folder": out, "members": record.members, "differences": differences})
        ),
        false => format!("{}\n", out.display()),
    })
}

fn fuse(
    record: &mut Record,
    earlier: Option<&Record>,
    members: &[Checkpoint],
    out: &Path,
    arguments: &FuseArguments,
    progress: &Progress,
) -> Result<(), Failure> {
    let plan = Plan::new(members, &record.recipe())?;
    let specs = plan.specs();
    let (stem, shard_size) = match members[0].is_adapter() {
        true => ("adapter_model", u64::MAX),
        false => ("model", record.shard_size),
    };
    let layout = Layout::new(&specs, &plan.aliases, stem, shard_size)?;
    let folder = Folder::begin(out)?;
    let shards = folder.shards(&layout)?;
    let threads = arguments.threads.map_or_else(
        || std::thread::available_parallelism().map_or(1, |n| n.get()),
        usize::from,
    );
    let effort = Effort {
        threads,
        memory: usize::try_from(arguments.memory).unwrap_or(usize::MAX),
        digests: !arguments.no_digests,
    };
    let millions = |elements: u64| elements.div_ceil(1_000_000);
    let stage = progress.stage("fuse, million weights", millions(plan.elements()));
    let mut done = 0;
    let digests = plan.run(&shards, effort, |elements| {
        let before = millions(done);
        done += elements;
        let steps = millions(done) - before;
        if steps > 0 {
            stage.advance(steps, "");
        }
    })?;
    stage.finish();
    record.note_files(members, &digests);
    if let Some(earlier) = earlier {
        record.check_same_members(earlier)?;
        if arguments.no_digests {
            progress.insist(
                "warning: without digests it was not checked whether the members are the same",
            );
        }
        record.members.clone_from(&earlier.members);
    }
    shards.finish()?;
    for (name, bytes) in companions(&members[0], record.dtype)? {
        folder.write(&name, &bytes)?;
    }
    let dtypes: BTreeSet<Dtype> = specs.iter().map(|spec| spec.dtype).collect();
    folder.write("README.md", record.card(members, &dtypes)?.as_bytes())?;
    folder.write(RECORD, format!("{:#}\n", json!(record)).as_bytes())?;
    Ok(folder.finish()?)
}

fn checked(
    members: &[Checkpoint],
    differences: &[Difference],
    table: &str,
    as_json: bool,
) -> String {
    let tensors = members[0].tensors().len();
    match as_json {
        true => format!(
            "{:#}\n",
            json!({"members": members.len(), "tensors": tensors, "differences": differences})
        ),
        false => format!(
            "{table}{} members of {tensors} tensors go together\n",
            members.len()
        ),
    }
}

fn say_what_is_dequantised(members: &[Checkpoint], progress: &Progress) {
    for member in members {
        let tensors = member.tensors().iter();
        let quantised: BTreeSet<String> = tensors
            .filter(|tensor| matches!(tensor.layout, fusion::checkpoint::Layout::Quantised(_)))
            .map(|tensor| tensor.stored_as())
            .collect();
        for stored in quantised {
            progress.say(&format!(
                "{}: {stored} (dequantised)",
                member.path.display()
            ));
        }
    }
}

fn warn_of_sum(record: &Record, progress: &Progress) {
    let sum: f64 = record.members.iter().map(|member| member.coefficient).sum();
    if (sum - 1.0).abs() > 1e-6 {
        progress.say(&format!("warning: the coefficients sum to {sum}, not to 1"));
    }
}

fn read_record(path: &Path) -> Result<Record, Failure> {
    let text = std::fs::read(path)
        .map_err(|error| Failure::input("fuse::record", path.display(), error.to_string()))?;
    serde_json::from_slice(&text).map_err(|error| {
        Failure::input(
            "fuse::record",
            path.display(),
            format!("found no record of a fusion: {error}"),
        )
        .hint("`bomf fuse` writes it as `fusion.json` into the folder that it makes")
    })
}

fn record(arguments: &FuseArguments) -> Result<Record, Failure> {
    let MethodName::Linear = arguments.method;
    Ok(Record {
        bomf: env!("CARGO_PKG_VERSION").to_owned(),
        method: Method::Linear,
        members: members(&arguments.members)?,
        patterns: arguments
            .patterns
            .iter()
            .map(|text| pattern(text))
            .collect::<Result<_, _>>()?,
        dtype: arguments.dtype.map(|name| match name {
            DtypeName::F64 => Dtype::F64,
            DtypeName::F32 => Dtype::F32,
            DtypeName::F16 => Dtype::F16,
            DtypeName::Bf16 => Dtype::Bf16,
        }),
        accumulate: arguments.accumulate.map(|name| match name {
            SumName::F32 => Dtype::F32,
            SumName::F64 => Dtype::F64,
        }),
        integers: match arguments.integers {
            IntegersName::Error => Integers::Error,
            IntegersName::First => Integers::First,
        },
        shard_size: arguments.shard_size,
    })
}

/// Members with their coefficients: all of them have one, or none.
fn members(texts: &[String]) -> Result<Vec<Member>, Failure> {
    let parsed: Vec<(&str, Option<f64>)> = texts
        .iter()
        .map(|text| match text.rsplit_once('=') {
            Some((path, number)) if number.parse::<f64>().is_ok() => (path, number.parse().ok()),
            _ => (text.as_str(), None),
        })
        .collect();
    let with = parsed
        .iter()
        .filter(|(_, coefficient)| coefficient.is_some())
        .count();
    if with != 0 && with != parsed.len() {
        return Err(Failure::input(
            "fuse::coefficients",
            "--member",
            format!(
                "found a coefficient for {with} of {} members, expected one for all or for none",
                parsed.len()
            ),
        ));
    }
    let equal = 1.0 / parsed.len() as f64;
    parsed
        .into_iter()
        .map(|(path, coefficient)| {
            // A replay may be started from another folder.
            let path = std::path::absolute(path)
                .map_err(|error| Failure::input("fuse::member", path, error.to_string()))?;
            Ok(Member {
                path,
                coefficient: coefficient.unwrap_or(equal),
                files: Vec::new(),
            })
        })
        .collect()
}

fn pattern(text: &str) -> Result<Pattern, Failure> {
    let parsed = text.rsplit_once('=').and_then(|(pattern, numbers)| {
        let coefficients = numbers.split(',').map(|number| number.trim().parse().ok());
        Some(Pattern {
            pattern: pattern.to_owned(),
            coefficients: coefficients.collect::<Option<_>>()?,
        })
    });
    parsed.ok_or_else(|| {
        Failure::input(
            "fuse::pattern",
            "--pattern",
            format!("found `{text}`, expected GLOB=C1,C2,... with one number per member"),
        )
    })
}

#[cfg(test)]
mod tests {
    use fusion::write::SHARD_SIZE;

    use super::*;

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
    fn coefficients_are_given_for_all_members_or_for_none() {
        let parse =
            |texts: &[&str]| members(&texts.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>());
        assert_eq!(parse(&["/a", "/b"]).unwrap()[1].coefficient, 0.5);
        let odd = parse(&["/a=b", "/c=d"]).unwrap();
        assert_eq!(
            (odd[0].path.to_str(), odd[0].coefficient),
            (Some("/a=b"), 0.5)
        );
        assert_eq!(parse(&["/a=b=2", "/c=-1"]).unwrap()[0].coefficient, 2.0);
        assert!(parse(&["/a=1", "/b"]).is_err());
    }
}
