//! `adapter_config.json`: what an adapter's settings say about its factors, and those of a fused one.

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::{Map, Value, json};

use crate::checkpoint::{ADAPTER_CONFIG, Checkpoint};
use crate::error::{Error, Result};

/// Initialisations that leave the base as it is; others change it, and the factors hold the difference from that.
const PLAIN_INITIALISATIONS: [&str; 3] = ["gaussian", "eva", "orthogonal"];

/// Settings of one adapter.
#[derive(Debug)]
pub(crate) struct Settings {
    alpha: f64,
    is_rank_stabilised: bool,
    alphas: Vec<(Regex, f64)>,
    /// Whether weights of modules lie `[inputs, outputs]`.
    pub(crate) fan_in_fan_out: bool,
    pub(crate) is_dora: bool,
    /// Whether single rows of embeddings were trained.
    pub(crate) has_trained_tokens: bool,
    /// Modules that were trained whole.
    pub(crate) modules_to_save: Vec<String>,
    /// An initialisation that changed the base.
    pub(crate) initialisation: Option<String>,
    all: Map<String, Value>,
}

impl Settings {
    /// Reads the settings of an adapter.
    pub(crate) fn read(adapter: &Checkpoint) -> Result<Self> {
        let fault = |what: String| {
            let place = format!("{}: {ADAPTER_CONFIG}", adapter.path.display());
            Error::input("fuse::adapter", place, what)
        };
        let path = adapter.companions.get(ADAPTER_CONFIG);
        let path = path.ok_or_else(|| {
            fault("found none, expected the settings of a LoRA adapter".to_owned())
        })?;
        let Value::Object(all) = crate::compare::json(path)? else {
            return Err(fault("found no JSON object".to_owned()));
        };
        let get = |key: &str| all.get(key).unwrap_or(&Value::Null);
        if get("peft_type") != "LORA" {
            return Err(fault(format!(
                "`peft_type`: found {}, expected \"LORA\"",
                get("peft_type")
            )));
        }
        let alpha = get("lora_alpha").as_f64().filter(|alpha| *alpha != 0.0);
        let alpha = alpha.ok_or_else(|| {
            fault(format!(
                "`lora_alpha`: found {}, expected a number other than 0",
                get("lora_alpha")
            ))
        })?;
        let patterns = get("alpha_pattern").as_object().into_iter().flatten();
        let alphas = patterns.map(|(pattern, alpha)| {
            let odd = || fault(format!("`alpha_pattern.{pattern}`: found {alpha}, expected a pattern of names and a number"));
            // As PEFT looks for it.
            let regex = Regex::new(&format!(r"^(.*\.)?({pattern})$")).map_err(|_| odd())?;
            Ok((regex, alpha.as_f64().ok_or_else(odd)?))
        });
        let is_true = |key: &str| get(key) == &Value::Bool(true);
        let saved = get("modules_to_save").as_array().into_iter().flatten();
        let initialisation = get("init_lora_weights").as_str();
        Ok(Self {
            alpha,
            is_rank_stabilised: is_true("use_rslora"),
            alphas: alphas.collect::<Result<_>>()?,
            fan_in_fan_out: is_true("fan_in_fan_out"),
            is_dora: is_true("use_dora"),
            has_trained_tokens: !get("trainable_token_indices").is_null(),
            modules_to_save: saved.filter_map(Value::as_str).map(str::to_owned).collect(),
            initialisation: initialisation
                .filter(|name| !PLAIN_INITIALISATIONS.contains(name))
                .map(str::to_owned),
            all,
        })
    }

    /// What the product of a module's factors is multiplied by.
    pub(crate) fn scale(&self, module: &str, rank: usize) -> f64 {
        let special = self.alphas.iter().find(|(names, _)| names.is_match(module));
        let alpha = special.map_or(self.alpha, |(_, alpha)| *alpha);
        alpha / self.divisor(rank)
    }

    fn divisor(&self, rank: usize) -> f64 {
        match self.is_rank_stabilised {
            true => (rank as f64).sqrt(),
            false => rank as f64,
        }
    }
}

/// Rank and scale of each module of an adapter, by its name.
pub type Modules = BTreeMap<String, (usize, f64)>;

/// The settings of an adapter with some modules: those of the first member, as far as they still hold.
///
/// # Errors
/// When the first member's cannot be read.
pub fn adapter_config(members: &[Checkpoint], modules: &Modules) -> Result<Value> {
    let all = members.iter().map(Settings::read);
    let all: Vec<Settings> = all.collect::<Result<_>>()?;
    let first = &all[0];
    let mut settings = first.all.clone();
    let alphas: BTreeMap<&String, f64> = modules
        .iter()
        .map(|(name, &(rank, scale))| (name, scale * first.divisor(rank)))
        .collect();
    let rank = most_frequent(modules.values().map(|(rank, _)| *rank as f64));
    let alpha = most_frequent(alphas.values().copied());
    let odd_ranks = modules.iter().filter(|(_, (r, _))| *r as f64 != rank);
    let odd_ranks: Map<_, _> = odd_ranks
        .map(|(name, (r, _))| (name.clone(), json!(r)))
        .collect();
    let odd_alphas = alphas.iter().filter(|(_, a)| **a != alpha);
    let odd_alphas: Map<_, _> = odd_alphas
        .map(|(name, a)| ((*name).clone(), number(*a)))
        .collect();
    settings.insert("r".to_owned(), number(rank));
    settings.insert("lora_alpha".to_owned(), number(alpha));
    settings.insert("rank_pattern".to_owned(), odd_ranks.into());
    settings.insert("alpha_pattern".to_owned(), odd_alphas.into());
    let selects = |settings: &Settings| {
        SELECTION.map(|key| settings.all.get(key).cloned().unwrap_or_default())
    };
    if all.iter().any(|other| selects(other) != selects(first)) {
        // Members were chosen in different ways: the names themselves.
        for key in SELECTION {
            settings.insert(key.to_owned(), Value::Null);
        }
        let names: Vec<&String> = modules.keys().collect();
        settings.insert("target_modules".to_owned(), json!(names));
    }
    Ok(settings.into())
}

/// Settings that say which modules are changed.
const SELECTION: [&str; 4] = [
    "target_modules",
    "exclude_modules",
    "layers_to_transform",
    "layers_pattern",
];

/// Without a fraction where there is none but for rounding, as PEFT writes ranks and alphas.
fn number(value: f64) -> Value {
    let whole = value.round();
    match (value - whole).abs() <= 1e-12 * value.abs() && whole.abs() < 2f64.powi(53) {
        true => json!(whole as i64),
        false => json!(value),
    }
}

fn most_frequent(values: impl Iterator<Item = f64>) -> f64 {
    let mut counts: Vec<(f64, usize)> = Vec::new();
    for value in values {
        match counts.iter_mut().find(|(known, _)| *known == value) {
            Some((_, count)) => *count += 1,
            None => counts.push((value, 1)),
        }
    }
    // Of equally frequent ones the first.
    let best = counts.iter().rev().max_by_key(|(_, count)| *count);
    best.map_or(0.0, |(value, _)| *value)
}
