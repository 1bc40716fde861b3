//! Averages of factors, of adapters whose ranks and scales may differ.

use crate::error::Result;
use crate::lora::{Module, Modules};
use crate::plan::{Make, Source, Task};
use crate::recipe::Recipe;
use crate::write::Spec;

/// The tasks that make both factors of every module, with ranks and scales of the result.
///
/// Factors are filled up with zeros to the largest rank, which leaves their product as it is. The result has the scale of the
/// first adapter; the factors of others are multiplied by the square root of how much theirs is larger.
pub(super) fn tasks<'a>(
    modules: &[Module<'a>],
    recipe: &Recipe,
) -> Result<(Vec<Task<'a>>, Modules)> {
    let (mut tasks, mut made) = (Vec::new(), Modules::new());
    for module in modules {
        let rank = module.rank();
        made.insert(module.name.clone(), (rank, module.parts[0].scale));
        for factor in 0..2 {
            tasks.push(task(module, factor, rank, recipe)?);
        }
    }
    Ok((tasks, made))
}

fn task<'a>(module: &Module<'a>, factor: usize, rank: usize, recipe: &Recipe) -> Result<Task<'a>> {
    let name = &module.factors[factor];
    let given = recipe.coefficients(&[name])?;
    let first = &module.parts[0];
    let (mut sources, mut coefficients) = (Vec::new(), Vec::new());
    for part in &module.parts {
        let tensor = [part.a, part.b][factor];
        let ratio = part.scale / first.scale;
        // A negative scale changes the sign of one factor only.
        let sign = if factor == 0 { ratio.signum() } else { 1.0 };
        coefficients.push(given[part.model] * ratio.abs().sqrt() * sign);
        // `A` is one row as far as filling up is concerned, `B` has one for each output.
        let width = match factor {
            0 => tensor.elements(),
            _ => part.rank,
        };
        sources.push(Source {
            model: part.model,
            tensor,
            widened: (part.rank != rank).then(|| (width, width / part.rank * rank)),
        });
    }
    let dtype = recipe.dtype.unwrap_or(sources[0].tensor.dtype);
    let [a, b] = module.shapes(rank);
    let spec = Spec {
        name: name.clone(),
        dtype,
        shape: [a, b][factor].clone(),
    };
    let wide = recipe.is_wide(dtype, &sources);
    Ok(Task::new(
        vec![spec],
        sources,
        Make::Sum { coefficients, wide },
    ))
}
