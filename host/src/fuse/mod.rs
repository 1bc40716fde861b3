//! `bomf fuse`: checkpoints that are there already, into one.

mod request;

use std::collections::BTreeSet;
use std::path::Path;

use fusion::checkpoint::ADAPTER_CONFIG;
use fusion::compare::{self, Difference, Severity};
use fusion::lora::{Lora, adapter_config};
use fusion::plan::Plan;
use fusion::record::{RECORD, Record, TruncationRecord, companions};
use fusion::rules::{Linear, Rule};
use fusion::stream::Effort;
use fusion::write::{Folder, Layout};
use fusion::{Checkpoint, Dtype};
use serde_json::json;

use crate::cli::FuseArguments;
use crate::diagnostics::{Failure, Failures};
use crate::progress::{Progress, Stage};

/// Does what the arguments say, and tells what came of it.
pub fn fuse(
    arguments: &FuseArguments,
    as_json: bool,
    progress: &Progress,
) -> Result<String, Failures> {
    // 1. What to do.
    let earlier = arguments.replay.as_deref().map(read_record).transpose()?;
    let mut record = match &earlier {
        Some(earlier) => earlier.clone(),
        None => request::record(arguments)?,
    };
    // 2. Whether the models go together.
    let models = open(record.models().map(|model| &*model.path))?;
    settle_adapters(&mut record, &models)?;
    let names = record
        .models()
        .map(|model| model.path.display().to_string());
    let names: Vec<String> = names.collect();
    let (differences, table) = compare(&models, record.lora, &names, "--member")?;
    let plan = Plan::new(&models, &record.recipe()).map_err(Failure::from)?;
    say_what_is_dequantised(&models, progress);
    let Some(out) = arguments.out.as_deref().filter(|_| !arguments.check) else {
        return Ok(checked(&record, &models, &differences, &table, as_json));
    };
    table.lines().for_each(|line| progress.say(line));
    warn_of_sum(&record, progress);
    plan.warnings.iter().for_each(|line| progress.say(line));
    // 3. The fusion.
    let folder = Folder::begin(out).map_err(Failure::from)?;
    let stage = progress.stage("fuse, million weights", millions(plan.elements()));
    make(
        &mut record,
        (&models, &plan),
        &folder,
        effort(arguments),
        tell(&stage),
    )?;
    stage.finish();
    record.note_beside(&models).map_err(Failure::from)?;
    if let Some(earlier) = &earlier {
        expect_same_models(&mut record, earlier, arguments, progress)?;
    }
    describe(&record, (&models, &plan), &folder)?;
    folder.finish().map_err(Failure::from)?;
    Ok(match as_json {
        true => format!(
            "{}\n",
            json!({"folder": out, "base": record.base, "members": record.members, "differences": differences})
        ),
        false => format!("{}\n", out.display()),
    })
}

/// Opens models.
///
/// # Errors
/// All that cannot be opened.
pub fn open<'a>(paths: impl Iterator<Item = &'a Path>) -> Result<Vec<Checkpoint>, Failures> {
    let (models, faults): (Vec<_>, Vec<_>) = paths.map(Checkpoint::open).partition(Result::is_ok);
    let faults = faults.into_iter().filter_map(Result::err);
    let faults: Vec<Failure> = faults.map(Failure::from).collect();
    match faults.is_empty() {
        true => Ok(models.into_iter().filter_map(Result::ok).collect()),
        false => Err(Failures(faults)),
    }
}

/// Where models differ, also as a table with their names.
///
/// # Errors
/// When they do not go together; shows the table.
pub fn compare(
    models: &[Checkpoint],
    lora: Option<Lora>,
    names: &[String],
    place: &str,
) -> Result<(Vec<Difference>, String), Failure> {
    let differences = compare::differences(models, lora)?;
    let table = compare::table(&differences, names);
    let is_error = |difference: &Difference| difference.severity == Severity::Error;
    if !differences.iter().any(is_error) {
        return Ok((differences, table));
    }
    let what = "found models that do not go together";
    Err(Failure {
        excerpt: Some(table),
        ..Failure::input("fuse::members", place, what)
    })
}

/// How adapters are combined, once it is known that the members are adapters.
fn settle_adapters(record: &mut Record, models: &[Checkpoint]) -> Result<(), Failure> {
    let members = || models.iter().take(record.members.len());
    let is_linear = matches!(record.method, Rule::Linear(_));
    match record.lora {
        None if is_linear && members().all(Checkpoint::is_adapter) => {
            record.lora = Some(Lora::Factors);
            Ok(())
        }
        None => Ok(()),
        Some(_) => match members().find(|member| !member.is_adapter()) {
            Some(model) => Err(Failure::input(
                "fuse::adapter",
                model.path.display(),
                format!("found no `{ADAPTER_CONFIG}`, expected the folder of a LoRA adapter"),
            )),
            None => Ok(()),
        },
    }
}

/// Writes the weights and the files that go with them, and notes what they were made of. `progress` hears of elements as they
/// are done.
pub fn make(
    record: &mut Record,
    (models, plan): (&[Checkpoint], &Plan<'_>),
    folder: &Folder,
    effort: Effort,
    progress: impl FnMut(u64),
) -> Result<(), Failure> {
    let kin = &models[record.kin()];
    let (stem, shard_size) = match kin.is_adapter() {
        true => ("adapter_model", u64::MAX),
        false => ("model", record.shard_size),
    };
    let layout = Layout::new(&plan.specs(), &plan.aliases, stem, shard_size)?;
    let shards = folder.shards(&layout)?;
    let outcome = plan.run(&shards, effort, progress)?;
    shards.finish()?;
    record.note_files(models, &outcome.digests);
    record.truncation = TruncationRecord::new(&outcome.truncations);
    for (name, mut bytes) in companions(kin, record.dtype)? {
        if let (ADAPTER_CONFIG, Some(modules)) = (name.as_str(), &plan.modules) {
            bytes = format!("{:#}\n", adapter_config(models, modules)?).into_bytes();
        }
        folder.write(&name, &bytes)?;
    }
    Ok(())
}

/// Threads, memory and digests as the arguments say.
fn effort(arguments: &FuseArguments) -> Effort {
    let threads = arguments.threads.map_or_else(
        || std::thread::available_parallelism().map_or(1, |n| n.get()),
        usize::from,
    );
    Effort {
        threads,
        memory: usize::try_from(arguments.memory).unwrap_or(usize::MAX),
        digests: !arguments.no_digests,
    }
}

/// Tells of the elements that are done, in millions of weights.
fn tell<'a>(stage: &'a Stage<'_>) -> impl FnMut(u64) + 'a {
    let mut done = 0;
    move |elements| {
        let before = millions(done);
        done += elements;
        let steps = millions(done) - before;
        if steps > 0 {
            stage.advance(steps, "");
        }
    }
}

fn millions(elements: u64) -> u64 {
    elements.div_ceil(1_000_000)
}

fn expect_same_models(
    record: &mut Record,
    earlier: &Record,
    arguments: &FuseArguments,
    progress: &Progress,
) -> Result<(), Failure> {
    record.check_same_models(earlier)?;
    if arguments.no_digests {
        progress
            .insist("warning: without digests it was not checked whether the models are the same");
    }
    record.members.clone_from(&earlier.members);
    record.base.clone_from(&earlier.base);
    Ok(())
}

/// Writes the card and the record.
fn describe(
    record: &Record,
    (models, plan): (&[Checkpoint], &Plan<'_>),
    folder: &Folder,
) -> Result<(), Failure> {
    let dtypes: BTreeSet<Dtype> = plan.specs().iter().map(|spec| spec.dtype).collect();
    folder.write("README.md", record.card(models, &dtypes)?.as_bytes())?;
    folder.write(RECORD, format!("{:#}\n", json!(record)).as_bytes())?;
    Ok(())
}

fn checked(
    record: &Record,
    models: &[Checkpoint],
    differences: &[Difference],
    table: &str,
    as_json: bool,
) -> String {
    let tensors = models[0].tensors().len();
    let (members, base) = match &record.base {
        Some(_) => (record.members.len(), " and their base"),
        None => (record.members.len(), ""),
    };
    match as_json {
        true => format!(
            "{:#}\n",
            json!({"members": members, "tensors": tensors, "differences": differences})
        ),
        false => format!("{table}{members} members{base} of {tensors} tensors go together\n"),
    }
}

fn say_what_is_dequantised(models: &[Checkpoint], progress: &Progress) {
    for model in models {
        let tensors = model.tensors().iter();
        let quantised: BTreeSet<String> = tensors
            .filter(|tensor| matches!(tensor.layout, fusion::checkpoint::Layout::Quantised(_)))
            .map(|tensor| tensor.stored_as())
            .collect();
        for stored in quantised {
            progress.say(&format!("{}: {stored} (dequantised)", model.path.display()));
        }
    }
}

fn warn_of_sum(record: &Record, progress: &Progress) {
    let is_mean = matches!(record.method, Rule::Linear(Linear { normalize: false }));
    if !is_mean || record.lora == Some(Lora::Into) {
        return;
    }
    let coefficients = record.members.iter().filter_map(|m| m.coefficient);
    let sum: f64 = coefficients.sum();
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
