//! A session: a function from lines to lines, without input or output of its own.
//!
//! What happens in it is a sequence of events. Each is recorded before it counts, so that a session which replays the
//! events goes on as the first would have.

use std::collections::HashMap;

use bomf_plugin_api::{
    Optimizer, Outcome, PluginError, Point, Request, Study, Suggestion, Suggestions, Trial,
    Verdict, check_point,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::message::{self, Message, Target};
use super::search::Search;
use super::summary;
use crate::diagnostics::Failure;
use crate::stages::tune::point_values;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The optimizer suggested points, and they were asked.
    Asked(Vec<Suggestion>),
    /// The outcome of what was asked was told.
    Told { id: u64, outcome: Outcome },
    /// A point that was not asked was told with its outcome.
    Given { point: Point, outcome: Outcome },
    /// A trial reported on its way, and was answered.
    Reported {
        id: u64,
        step: u64,
        values: Vec<f64>,
        verdict: Verdict,
    },
}

/// What makes an event last. When it returns, the event may count.
pub type Record<'a> = Box<dyn FnMut(&Event) -> Result<(), Failure> + 'a>;

/// A session in progress.
pub struct Session<'a> {
    search: &'a Search,
    optimizer: Box<dyn Optimizer>,
    record: Record<'a>,
    study: Study,
    /// Trials that were given and not asked: they do not count for the budget.
    given: u64,
    /// What trials reported in sessions before this one, with the verdicts: those that are still open run again, and report
    /// again.
    earlier: HashMap<u64, Vec<(u64, Verdict)>>,
    /// Lines read.
    lines: u64,
    ended: Option<String>,
}

impl<'a> Session<'a> {
    /// A session in which nothing has happened.
    pub fn new(search: &'a Search, optimizer: Box<dyn Optimizer>, record: Record<'a>) -> Self {
        Self {
            search,
            optimizer,
            record,
            study: search.study(),
            given: 0,
            earlier: HashMap::new(),
            lines: 0,
            ended: None,
        }
    }

    /// Lets a recorded event happen again. Before [`Session::begin`].
    ///
    /// # Errors
    /// When it does not fit those before it.
    pub fn replay(&mut self, event: Event) -> Result<(), Failure> {
        if let Event::Reported {
            id, step, verdict, ..
        } = &event
        {
            self.earlier.entry(*id).or_default().push((*step, *verdict));
        }
        let applied = self.apply(event);
        applied.then_some(()).ok_or_else(|| {
            let message = "found an event that does not follow from those before it";
            Failure::input("optimize::journal", "journal", message)
                .hint("the journal was made by another version of bomf: start anew")
        })
    }

    /// The trials so far.
    pub fn study(&self) -> &Study {
        &self.study
    }

    /// Why the session is over, if it is.
    pub fn ended(&self) -> Option<&str> {
        self.ended.as_deref()
    }

    /// Asks for what is open from before, and for more.
    ///
    /// # Errors
    /// When the optimizer fails, or an event cannot be recorded.
    pub fn begin(&mut self) -> Result<Vec<Value>, Failure> {
        self.study
            .check()
            .map_err(|error| Failure::plugin(&self.search.optimizer, &error))?;
        let mut replies: Vec<Value> = self.pending().map(|trial| self.ask(trial)).collect();
        replies.extend(self.fill()?);
        Ok(replies)
    }

    /// Answers a line. One that cannot be used changes nothing and is answered by an error.
    ///
    /// # Errors
    /// When the optimizer fails, or an event cannot be recorded: then the session cannot go on.
    pub fn line(&mut self, line: &[u8]) -> Result<Vec<Value>, Failure> {
        self.lines += 1;
        if line.iter().all(u8::is_ascii_whitespace) {
            return Ok(Vec::new());
        }
        let understood = message::read(line, self.search);
        match understood.and_then(|message| self.fits(&message).map(|()| message)) {
            Ok(message) => self.act(message),
            Err(mut failure) => {
                let colon = if failure.place.is_empty() { "" } else { ": " };
                failure.place = format!("line {}{colon}{}", self.lines, failure.place);
                Ok(vec![json!({"error": failure})])
            }
        }
    }

    /// The last line of a session.
    pub fn done(&self, why: &str) -> Value {
        json!({"done": summary::summary(self.search, &self.study, why)})
    }

    /// Whether a message speaks of a trial that is open, and reports go forward.
    fn fits(&self, message: &Message) -> Result<(), Failure> {
        let (part, id) = match message {
            Message::Tell {
                of: Target::Point(_),
                ..
            } => return Ok(()),
            Message::Tell {
                of: Target::Asked(id),
                ..
            } => ("tell", *id),
            Message::Report { id, .. } => ("report", *id),
        };
        let place = format!("{part}.id");
        let trial = self
            .study
            .trials
            .get(usize::try_from(id).unwrap_or(usize::MAX));
        let Some(trial) = trial else {
            let open: Vec<String> = self.pending().map(|trial| trial.id.to_string()).collect();
            let message = format!("found the id {id}, expected one of `{}`", open.join("`, `"));
            return Err(Failure::input("optimize::unknown_id", place, message));
        };
        if trial.outcome != Outcome::Pending {
            let message = format!("found the id {id} again, expected each to be told once");
            return Err(Failure::input("optimize::told_twice", place, message)
                .hint("what was told first counts"));
        }
        if let (Message::Report { step, .. }, Some((last, _))) = (message, trial.reports.last())
            && step <= last
            && self.earlier_verdict(id, *step).is_none()
        {
            let message = format!("found step {step} after step {last}, expected a later one");
            return Err(Failure::input("optimize::step", "report.step", message));
        }
        Ok(())
    }

    fn act(&mut self, message: Message) -> Result<Vec<Value>, Failure> {
        let mut replies = Vec::new();
        let event = match message {
            Message::Tell {
                of: Target::Asked(id),
                outcome,
            } => Event::Told { id, outcome },
            Message::Tell {
                of: Target::Point(point),
                outcome,
            } => Event::Given { point, outcome },
            Message::Report { id, step, .. }
                if let Some(verdict) = self.earlier_verdict(id, step) =>
            {
                return Ok(vec![answer(id, verdict)]);
            }
            Message::Report { id, step, values } => {
                let verdict = self.optimizer.report(&self.study, id, step, &values);
                let verdict = verdict.map_err(|error| self.plugin(&error))?;
                replies.push(answer(id, verdict));
                Event::Reported {
                    id,
                    step,
                    values,
                    verdict,
                }
            }
        };
        self.happen(event)?;
        replies.extend(self.fill()?);
        Ok(replies)
    }

    /// Asks the optimizer for as many points as may be open, if it has any before those that are pending are told.
    fn fill(&mut self) -> Result<Vec<Value>, Failure> {
        let asked = self.study.trials.len() as u64 - self.given;
        let left = self
            .search
            .budget
            .map_or(u64::MAX, |budget| budget.saturating_sub(asked));
        let open = self.pending().count();
        let wanted = self.search.parallel.saturating_sub(open);
        let wanted = wanted.min(usize::try_from(left).unwrap_or(usize::MAX));
        if wanted == 0 {
            if open == 0 {
                self.ended = Some(format!("the budget of {asked} asks is spent"));
            }
            return Ok(Vec::new());
        }
        let suggested = self.optimizer.suggest(&self.study, wanted);
        let points = match suggested.map_err(|error| self.plugin(&error))? {
            Suggestions::Done { why } if open == 0 => {
                self.ended = Some(why);
                return Ok(Vec::new());
            }
            // What is pending is told first.
            Suggestions::Done { .. } => return Ok(Vec::new()),
            Suggestions::Points(points) => points,
            _ => Vec::new(),
        };
        if points.is_empty() && open == 0 {
            let message = "found no suggestion, expected one or an end";
            return Err(self.plugin(&PluginError::failed(message)));
        }
        self.check(&points, wanted)?;
        let first = self.study.trials.len();
        if !points.is_empty() {
            self.happen(Event::Asked(points))?;
        }
        Ok(self.study.trials[first..]
            .iter()
            .map(|trial| self.ask(trial))
            .collect())
    }

    fn check(&self, points: &[Suggestion], wanted: usize) -> Result<(), Failure> {
        if points.len() > wanted {
            let message = format!(
                "found {} suggestions, expected at most {wanted}",
                points.len()
            );
            return Err(self.plugin(&PluginError::failed(message)));
        }
        for suggestion in points {
            if suggestion.request != Request::Evaluate {
                let message =
                    "found an optimizer that asks for gradients, expected one that asks for values";
                return Err(self.plugin(&PluginError::input(message)));
            }
            check_point(&self.study.space, &suggestion.point).map_err(|error| {
                let message = format!("suggested a point outside the space: {error}");
                self.plugin(&PluginError::failed(message))
            })?;
        }
        Ok(())
    }

    fn happen(&mut self, event: Event) -> Result<(), Failure> {
        (self.record)(&event)?;
        let applied = self.apply(event);
        debug_assert!(applied, "messages were checked to fit");
        Ok(())
    }

    /// Lets an event change the study; `false` if it cannot.
    fn apply(&mut self, event: Event) -> bool {
        match event {
            Event::Asked(suggestions) => {
                for suggestion in suggestions {
                    self.study.suggest(suggestion);
                }
            }
            Event::Given { point, outcome } => {
                let id = self.study.suggest(Suggestion::evaluate(point));
                self.study.trials[id as usize].outcome = outcome;
                self.given += 1;
                self.study.budget = self.study.budget.map(|budget| budget + 1);
            }
            Event::Told { id, outcome } => {
                let Some(trial) = self.open(id) else {
                    return false;
                };
                trial.outcome = outcome;
            }
            Event::Reported {
                id, step, values, ..
            } => {
                let Some(trial) = self.open(id) else {
                    return false;
                };
                trial.reports.push((step, values));
            }
        }
        true
    }

    /// The trial of that id, if it is pending.
    fn open(&mut self, id: u64) -> Option<&mut Trial> {
        let trial = self.study.trials.get_mut(usize::try_from(id).ok()?);
        trial.filter(|trial| trial.outcome == Outcome::Pending)
    }

    /// The verdict on a step that an earlier session went past already: that of the last report up to it.
    fn earlier_verdict(&self, id: u64, step: u64) -> Option<Verdict> {
        let reports = self.earlier.get(&id)?;
        let (last, _) = reports.last()?;
        let until = reports.iter().rev().find(|(at, _)| *at <= step);
        (step <= *last).then(|| until.map_or(Verdict::Continue, |(_, verdict)| *verdict))
    }

    fn pending(&self) -> impl Iterator<Item = &Trial> {
        self.study
            .trials
            .iter()
            .filter(|trial| trial.outcome == Outcome::Pending)
    }

    fn ask(&self, trial: &Trial) -> Value {
        let point = point_values(&self.search.axes, &trial.suggestion.point);
        json!({"ask": {"id": trial.id, "point": point}})
    }

    fn plugin(&self, error: &PluginError) -> Failure {
        Failure::plugin(&self.search.optimizer, error)
    }
}

/// The answer to a report.
fn answer(id: u64, verdict: Verdict) -> Value {
    let word = match verdict {
        Verdict::Stop => "stop",
        _ => "continue",
    };
    json!({word: {"id": id}})
}
