//! All rules beside mergekit, and what holds for every input.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// A handful of f32 operations in another order, on numbers about 1.
const ROUNDING: f32 = 1e-6;

/// A rule, with the coefficients that stand beside its options; without any, they are 1.
#[derive(Debug)]
struct Case {
    rule: Rule,
    coefficients: Option<Vec<f64>>,
}

impl std::ops::Deref for Case {
    type Target = Rule;

    fn deref(&self) -> &Rule {
        &self.rule
    }
}

fn rule(mut options: Value) -> Case {
    let coefficients = options.as_object_mut().unwrap().remove("coefficients");
    Case {
        rule: serde_json::from_value(options).unwrap(),
        coefficients: coefficients.map(|list| serde_json::from_value(list).unwrap()),
    }
}

impl Case {
    fn merge(&self, shape: &Shape, inputs: &Inputs<'_>, out: &mut [f32]) -> Result<()> {
        let ones = || match self.rule.has_coefficients() {
            true => vec![1.0; shape.members],
            false => Vec::new(),
        };
        let coefficients = self.coefficients.clone().unwrap_or_else(ones);
        self.rule.merge(&coefficients, shape, inputs, out)
    }
}

fn inputs<'a>(base: Option<&'a [f32]>, members: &'a [&'a [f32]]) -> Inputs<'a> {
    Inputs {
        base,
        members,
        first: 0,
    }
}

/// Every rule as its users first meet it, with a density where it has one.
fn all_rules(density: f64) -> Vec<Case> {
    let options = |name: &str| match name {
        "ties" | "dare_linear" | "dare_ties" | "breadcrumbs" | "breadcrumbs_ties" => {
            json!({"use": name, "density": density})
        }
        "linear" => json!({"use": name, "normalize": true}),
        _ => json!({"use": name}),
    };
    Rule::NAMES.iter().map(|name| rule(options(name))).collect()
}

fn merge(rule: &Case, base: &[f32], members: &[Vec<f32>]) -> Result<Vec<f32>> {
    let mut members: Vec<&[f32]> = members.iter().map(Vec::as_slice).collect();
    let base = match rule.rule {
        Rule::Linear(_) => None,
        Rule::Slerp(_) => {
            members.truncate(1);
            Some(base)
        }
        _ => Some(base),
    };
    let mut out = vec![f32::NAN; members.first().map_or(0, |member| member.len())];
    let inputs = inputs(base, &members);
    rule.merge(&Shape::of(&inputs), &inputs, &mut out)?;
    Ok(out)
}

fn expect_close(found: &[f32], expected: &[f32], tolerance: f32, what: &dyn std::fmt::Debug) {
    assert_eq!(found.len(), expected.len(), "{what:?}");
    for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
        let error = (found - expected).abs();
        assert!(
            error <= tolerance * expected.abs().max(1.0),
            "{what:?}, element {at}: found {found}, expected {expected}"
        );
    }
}

fn floats(value: &Value) -> Vec<f32> {
    serde_json::from_value(value.clone()).unwrap()
}

#[test]
fn merges_are_those_of_mergekit() {
    let golden: Value = serde_json::from_str(include_str!("../../goldens/rules.json")).unwrap();
    let mut tried = std::collections::BTreeSet::new();
    for case in golden["merges"].as_array().unwrap() {
        let rule = rule(case["rule"].clone());
        tried.insert(rule.name());
        let tensor = &golden["tensors"][case["tensor"].as_str().unwrap()];
        let (base, members) = (
            floats(&tensor["base"]),
            tensor["members"].as_array().unwrap(),
        );
        let members: Vec<Vec<f32>> = members.iter().map(floats).collect();
        let mut members: Vec<&[f32]> = members.iter().map(Vec::as_slice).collect();
        if matches!(rule.rule, Rule::Slerp(_)) {
            members.truncate(1);
        }
        let base = (!matches!(rule.rule, Rule::Linear(_))).then_some(base.as_slice());
        let inputs = inputs(base, &members);
        let mut shape = Shape::of(&inputs);
        shape.row = tensor["shape"]
            .as_array()
            .unwrap()
            .last()
            .unwrap()
            .as_u64()
            .unwrap() as usize;
        let mut out = vec![0.0; shape.elements];
        rule.merge(&shape, &inputs, &mut out).unwrap();
        expect_close(
            &out,
            &floats(&case["merged"]),
            ROUNDING,
            &(&case["rule"], &case["tensor"]),
        );
    }
    assert_eq!(tried, Rule::NAMES.into_iter().collect());
}

#[test]
fn names_are_those_that_are_read() {
    for (rule, name) in all_rules(0.5).iter().zip(Rule::NAMES) {
        assert_eq!(rule.name(), name);
        let written = serde_json::to_value(&rule.rule).unwrap();
        assert_eq!(written["use"], name);
        assert_eq!(serde_json::from_value::<Rule>(written).unwrap(), rule.rule);
    }
    let unknown = serde_json::from_value::<Rule>(json!({"use": "ties", "densty": 0.5}));
    assert!(unknown.unwrap_err().to_string().contains("densty"));
}

/// Random tensors: a base and `members` members of `elements` elements, neither too large nor equal.
fn models(
    members: impl Into<prop::collection::SizeRange>,
) -> impl Strategy<Value = (Vec<f32>, Vec<Vec<f32>>)> {
    let members = members.into();
    (1usize..50).prop_flat_map(move |elements| {
        let tensor = || {
            prop::collection::vec(
                (-2000i32..2000).prop_map(|value| value as f32 / 512.0),
                elements,
            )
        };
        (tensor(), prop::collection::vec(tensor(), members.clone()))
    })
}

proptest! {
    #[test]
    fn members_may_come_in_any_order((base, members) in models(2..5), density in 0.0f64..1.0) {
        let reversed: Vec<Vec<f32>> = members.iter().rev().cloned().collect();
        for rule in all_rules(density) {
            // Draws belong to the member's place, slerp knows a first and a second.
            if rule.is_random() || matches!(rule.rule, Rule::Slerp(_)) {
                continue;
            }
            // Whole multiples of 2^-9 below 2^10 add up without rounding: signs cannot flip.
            let (a, b) = (merge(&rule, &base, &members).unwrap(), merge(&rule, &base, &reversed).unwrap());
            expect_close(&a, &b, 4.0 * ROUNDING, &rule);
        }
    }

    #[test]
    fn a_coefficient_of_one_among_zeros_is_that_member((base, members) in models(1..5), chosen in 0usize..4) {
        let chosen = chosen % members.len();
        let coefficients: Vec<f64> = (0..members.len()).map(|index| f64::from(u8::from(index == chosen))).collect();
        for name in Rule::NAMES.iter().filter(|name| rule(json!({"use": name})).has_coefficients()) {
            let rule = rule(json!({"use": name, "coefficients": coefficients}));
            let found = merge(&rule, &base, &members).unwrap();
            expect_close(&found, &members[chosen], ROUNDING, &rule);
        }
    }

    #[test]
    fn coefficients_of_zero_leave_the_base((base, members) in models(1..5), density in 0.0f64..=1.0) {
        for name in ["task_arithmetic", "ties", "dare_linear", "dare_ties", "breadcrumbs", "breadcrumbs_ties"] {
            let mut options = json!({"use": name, "coefficients": vec![0.0; members.len()]});
            if name != "task_arithmetic" {
                options["density"] = json!(density);
            }
            prop_assert_eq!(merge(&rule(options), &base, &members).unwrap(), base.clone());
        }
    }

    #[test]
    fn identical_models_stay_put((base, _) in models(1..2), count in 2usize..6, density in 0.0f64..=1.0) {
        let members = vec![base.clone(); count];
        for rule in all_rules(density) {
            expect_close(&merge(&rule, &base, &members).unwrap(), &base, ROUNDING, &rule);
        }
    }

    #[test]
    fn members_that_agree_are_their_mean((base, members) in models(1..2), count in 2usize..6) {
        let same = vec![members[0].clone(); count];
        for options in [json!({"use": "linear", "normalize": true}), json!({"use": "ties"}), json!({"use": "model_stock"})] {
            let rule = rule(options);
            expect_close(&merge(&rule, &base, &same).unwrap(), &members[0], 4.0 * ROUNDING, &rule);
        }
    }

    #[test]
    fn density_one_without_election_is_task_arithmetic(
        (base, members) in models(1..5), lambda in -2.0f64..2.0, normalize: bool,
    ) {
        let options = |name| json!({"use": name, "coefficients": vec![0.75; members.len()], "lambda": lambda, "normalize": normalize});
        let expected = merge(&rule(options("task_arithmetic")), &base, &members).unwrap();
        for name in ["dare_linear", "breadcrumbs"] {
            prop_assert_eq!(merge(&rule(options(name)), &base, &members).unwrap(), expected.clone());
        }
        let ties = merge(&rule(options("ties")), &base, &members).unwrap();
        for name in ["dare_ties", "breadcrumbs_ties"] {
            prop_assert_eq!(merge(&rule(options(name)), &base, &members).unwrap(), ties.clone());
        }
    }

    #[test]
    fn means_lie_between_the_members((base, members) in models(1..5), density in 0.0f64..=1.0) {
        for options in [json!({"use": "linear", "normalize": true}), json!({"use": "ties", "density": density})] {
            let rule = rule(options);
            let merged = merge(&rule, &base, &members).unwrap();
            for (at, &found) in merged.iter().enumerate() {
                let values = || members.iter().map(|member| member[at]).chain([base[at]]);
                let (low, high) = (values().fold(f32::MAX, f32::min), values().fold(f32::MIN, f32::max));
                let slack = ROUNDING * 8.0;
                prop_assert!((low - slack..=high + slack).contains(&found), "{rule:?}: {found} not in {low}..{high}");
            }
        }
    }

    #[test]
    fn slerp_ends_where_it_says((base, members) in models(1..2)) {
        let at = |t: f64| merge(&rule(json!({"use": "slerp", "t": t})), &base, &members).unwrap();
        expect_close(&at(0.0), &base, ROUNDING, &"t = 0");
        expect_close(&at(1.0), &members[0], ROUNDING, &"t = 1");
    }

    #[test]
    fn pieces_are_cut_from_the_same_whole((base, members) in models(2..4), at in 0usize..50) {
        let at = at % base.len();
        let mut rules = all_rules(0.5);
        rules.extend([
            rule(json!({"use": "dare_ties", "density": 0.5, "rescale": false})),
            rule(json!({"use": "dare_linear", "density": 0.5, "rescale": false})),
        ]);
        let mut cut_rules = Vec::new();
        for rule in &rules {
            let whole_members: Vec<&[f32]> = members.iter().map(Vec::as_slice).collect();
            let needs = rule.needs_base();
            let shape = Shape::of(&inputs(needs.then_some(&base), &whole_members));
            let ones = vec![1.0; members.len()];
            let looks = rule.begin(&ones, &shape).map_or(1, |merge| merge.looks());
            if looks > 0 {
                continue;
            }
            cut_rules.push(rule.name());
            let whole = merge(rule, &base, &members).unwrap();
            let cut: Vec<&[f32]> = members.iter().map(|member| &member[at..]).collect();
            let inputs = Inputs { base: needs.then_some(&base[at..]), members: &cut, first: at };
            let mut tail = vec![0.0; base.len() - at];
            rule.merge(&shape, &inputs, &mut tail).unwrap();
            prop_assert_eq!(&whole[at..], tail);
        }
        for name in ["linear", "task_arithmetic", "dare_ties", "dare_linear"] {
            prop_assert!(cut_rules.contains(&name), "{name} looks before it merges");
        }
    }
}

/// Tensors of some blocks, whose differences have few magnitudes: cuts go through equal ones.
#[test]
fn blocks_are_merged_as_the_whole() {
    let elements = 3 * BLOCK + 700;
    let tensor = |salt: usize| -> Vec<f32> {
        let element = |k: usize| ((k * 7919 + salt * 104_729) % 613) as f32 / 16.0;
        (0..elements).map(element).collect()
    };
    let (base, members) = (tensor(0), [tensor(1), tensor(2)]);
    let members: Vec<&[f32]> = members.iter().map(Vec::as_slice).collect();
    let mut rules = all_rules(0.4);
    rules.extend(
        ["ties", "breadcrumbs", "breadcrumbs_ties"]
            .map(|name| rule(json!({"use": name, "density": [0.3, 1.0], "rescale": true}))),
    );
    rules.push(rule(json!({"use": "model_stock", "filter_wise": true})));
    for case in rules {
        let count = if matches!(case.rule, Rule::Slerp(_)) {
            1
        } else {
            2
        };
        let has_base = !matches!(case.rule, Rule::Linear(_));
        let part = |from: usize, to: usize| -> Vec<&[f32]> {
            members[..count]
                .iter()
                .map(|member| &member[from..to])
                .collect()
        };
        let (whole_members, whole_base) = (part(0, elements), has_base.then_some(base.as_slice()));
        let whole = inputs(whole_base, &whole_members);
        let mut shape = Shape::of(&whole);
        shape.row = elements / 4;
        let mut expected = vec![0.0; elements];
        case.merge(&shape, &whole, &mut expected).unwrap();

        let coefficients = vec![1.0; if case.has_coefficients() { count } else { 0 }];
        let mut merge = case.begin(&coefficients, &shape).unwrap();
        let mut out = vec![0.0; elements];
        loop {
            let looks = merge.looks();
            for first in (0..elements).step_by(BLOCK) {
                let end = elements.min(first + BLOCK);
                let members = part(first, end);
                let base = has_base.then_some(&base[first..end]);
                let block = Inputs {
                    base,
                    members: &members,
                    first,
                };
                match looks {
                    0 => merge.merge(&block, &mut out[first..end]).unwrap(),
                    _ => merge.look(&block).unwrap(),
                }
            }
            if looks == 0 {
                break;
            }
            merge.turn();
        }
        assert_eq!(out, expected, "{case:?}");
    }
}

#[test]
fn rows_are_merged_one_by_one_where_asked() {
    let (base, a, b) = ([0.0; 4], [1.0, 0.0, 3.0, 1.0], [0.0, 1.0, 3.0, 1.0]);
    let members: [&[f32]; 2] = [&a, &b];
    let rule = rule(json!({"use": "model_stock", "filter_wise": true}));
    let inputs = inputs(Some(&base), &members);
    let mut shape = Shape::of(&inputs);
    shape.row = 2;
    let mut out = [f32::NAN; 4];
    rule.merge(&shape, &inputs, &mut out).unwrap();
    assert_eq!(out, [0.0, 0.0, 3.0, 1.0]); // At right angles: the base. In one direction: the mean.
    shape.row = 3;
    let fault = rule.merge(&shape, &inputs, &mut out).unwrap_err();
    assert_eq!(
        fault,
        RuleError::RowLength {
            found: 3,
            elements: 4
        }
    );
}

/// Over many seeds the mean of DARE's deltas is the delta: exactly in expectation without rescaling (times density), and,
/// for deltas of one magnitude, with it.
#[test]
fn dare_is_unbiased() {
    let (base, member) = (
        vec![1.0; 64],
        (0..64)
            .map(|k| if k % 3 == 0 { 0.5 } else { 1.5 })
            .collect::<Vec<f32>>(),
    );
    for (rescale, factor) in [(true, 1.0), (false, 0.3)] {
        for name in ["dare_linear", "dare_ties"] {
            let rule = rule(json!({"use": name, "density": 0.3, "rescale": rescale}));
            let members: [&[f32]; 1] = [&member];
            let inputs = inputs(Some(&base), &members);
            let mut shape = Shape::of(&inputs);
            let (mut sums, mut out, draws) = (vec![0.0; 64], vec![0.0; 64], 4000);
            for seed in 0..draws {
                shape.seed = TensorSeed::new(seed, "w");
                rule.merge(&shape, &inputs, &mut out).unwrap();
                sums.iter_mut()
                    .zip(&out)
                    .for_each(|(sum, out)| *sum += f64::from(out - 1.0));
            }
            for (sum, value) in sums.iter().zip(&member) {
                let (found, expected) = (sum / draws as f64, f64::from(value - 1.0) * factor);
                // A delta of 0.5 / density three times in ten: deviation 0.76, over 4,000 draws 0.012; five of these.
                assert!(
                    (found - expected).abs() < 0.06,
                    "{rule:?}: found {found}, expected {expected}"
                );
            }
        }
    }
}

#[test]
fn dare_stretches_by_about_one_over_density() {
    let (base, member) = (vec![0.0; 100_000], vec![1.0; 100_000]);
    let found = merge(
        &rule(json!({"use": "dare_linear", "density": 0.25})),
        &base,
        &[member],
    )
    .unwrap();
    let kept: Vec<f32> = found.into_iter().filter(|value| *value != 0.0).collect();
    let rate = kept.len() as f32 / 100_000.0;
    assert!((rate - 0.25).abs() < 0.007, "found {rate}"); // Five deviations.
    assert!(
        kept.iter()
            .all(|value| (value * rate - 1.0).abs() < ROUNDING)
    );
}

#[test]
fn seeds_and_names_choose_the_draws() {
    let member: Vec<f32> = (0..1000).map(|k| k as f32 + 1.0).collect();
    let (base, members): (_, [&[f32]; 2]) = (vec![0.0; 1000], [&member, &member]);
    let merged = |seed, name| {
        let inputs = inputs(Some(&base), &members);
        let mut shape = Shape::of(&inputs);
        shape.seed = TensorSeed::new(seed, name);
        let mut out = vec![0.0; 1000];
        rule(json!({"use": "dare_ties", "density": 0.5}))
            .merge(&shape, &inputs, &mut out)
            .unwrap();
        out
    };
    let first = merged(1, "a");
    // Threads share nothing: the same bits on each.
    let again: Vec<Vec<f32>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| merged(1, "a"))).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    assert!(again.iter().all(|other| *other == first));
    assert_ne!(merged(2, "a"), first);
    assert_ne!(merged(1, "b"), first);
}

#[test]
fn numbers_that_are_none_are_refused_with_their_place() {
    for rule in all_rules(0.5) {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let (base, mut members) = (vec![1.0; 5000], vec![vec![2.0; 5000], vec![3.0; 5000]]);
            members[0][4321] = bad;
            let found = merge(&rule, &base, &members).unwrap_err().to_string();
            assert_eq!(
                found,
                format!("member 0, element 4321: found {bad:?}, expected a finite number")
            );
            if rule.needs_base() || matches!(rule.rule, Rule::Slerp(_)) {
                let mut base = base;
                base[17] = bad;
                let found = merge(&rule, &base, &members).unwrap_err().to_string();
                assert_eq!(
                    found,
                    format!("base, element 17: found {bad:?}, expected a finite number")
                );
            }
        }
    }
}

#[test]
fn tensors_of_nothing_and_of_one_element_are_tensors() {
    for rule in all_rules(0.5) {
        assert_eq!(merge(&rule, &[], &[vec![], vec![]]), Ok(vec![]), "{rule:?}");
        let found = merge(&rule, &[1.0], &[vec![2.0], vec![2.0]]).unwrap();
        assert!(found[0].is_finite(), "{rule:?}: {found:?}");
    }
}

#[test]
fn one_member_is_enough_where_one_makes_sense() {
    for rule in all_rules(1.0) {
        let found = merge(&rule, &[1.0, 2.0], &[vec![3.0, 5.0]]);
        match rule.rule {
            Rule::ModelStock(_) => {
                assert!(matches!(found, Err(RuleError::ModelCount { found: 1, .. })))
            }
            Rule::Slerp(_) => assert!(found.is_ok()),
            _ => assert_eq!(found, Ok(vec![3.0, 5.0]), "{rule:?}"),
        }
    }
}

#[test]
fn what_does_not_fit_is_said() {
    let (short, long): ([f32; 1], [f32; 2]) = ([0.0], [0.0; 2]);
    let fault = |options: Value, base: Option<&[f32]>, members: &[&[f32]]| {
        let inputs = inputs(base, members);
        let fault = rule(options).merge(&Shape::of(&inputs), &inputs, &mut [0.0; 2]);
        fault.unwrap_err().to_string()
    };
    let linear = || json!({"use": "linear"});
    assert_eq!(
        fault(linear(), None, &[]),
        "found no members, expected at least one"
    );
    assert_eq!(
        fault(linear(), None, &[&long, &short]),
        "member 1: found 1 elements, expected 2"
    );
    assert_eq!(
        fault(json!({"use": "ties"}), Some(&short), &[&long]),
        "base: found 1 elements, expected 2"
    );
    assert_eq!(
        fault(json!({"use": "ties"}), None, &[&long]),
        "`ties` merges differences from a base: found none; name the model that the members were trained from"
    );
    assert_eq!(
        fault(json!({"use": "linear"}), Some(&long), &[&long]),
        "`linear` merges no differences: found a base, expected none"
    );
    assert_eq!(
        fault(json!({"use": "slerp"}), None, &[&long]),
        "`slerp`: found 1 models, expected 2, the base included"
    );
    assert_eq!(
        fault(
            json!({"use": "linear", "coefficients": [1, 2]}),
            None,
            &[&long]
        ),
        "`coefficients`: found 2 values, expected one, or one for each of 1 members"
    );
    assert_eq!(
        fault(
            json!({"use": "ties", "density": 1.5}),
            Some(&long),
            &[&long]
        ),
        "`density`: found 1.5, expected a number from 0 to 1"
    );
    assert_eq!(
        fault(
            json!({"use": "task_arithmetic", "lambda": 1e39}),
            Some(&long),
            &[&long]
        ),
        "`lambda`: found 1000000000000000000000000000000000000000, expected a finite number"
    );
    assert_eq!(
        fault(
            json!({"use": "linear", "coefficients": [1, -1], "normalize": true}),
            None,
            &[&long, &long]
        ),
        "`coefficients` add up to 0, expected another sum than 0; or set `normalize` to false"
    );
}
