//! Asking a model many questions: each text once, several at a time, nothing that was answered before.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bomf_plugin_api::{Context, PluginError, Result, Scores};

use crate::cache::{Key, Replies};
use crate::endpoint::{Endpoint, Fault};
use crate::options::AskOptions;
use crate::pace::{Pace, Refusal, backoff};
use crate::request::{self, digest};

/// What a reply is worth; `None`: it cannot be read.
pub type Reader = Box<dyn Fn(&str) -> Option<f64> + Send + Sync>;

/// A model that is asked questions.
///
/// It remembers what was answered, which changes no score: the same question has the same answer.
pub struct Panel {
    options: AskOptions,
    seed: u64,
    /// Said at the end of a question that is asked again.
    reminder: String,
    read: Reader,
    endpoint: Endpoint,
    pace: Pace,
    replies: Mutex<Replies>,
    /// By the digest of the question.
    settled: Mutex<HashMap<Key, Option<f64>>>,
}

/// Questions about the rows of a table.
pub struct Questions<'a> {
    /// Number of rows.
    pub rows: usize,
    /// The row that each question is about.
    pub row_of: Vec<usize>,
    /// The text of a question, by its number.
    pub text: &'a (dyn Fn(usize) -> String + Sync),
}

/// Why asking ends before its time.
enum Halt {
    /// Something else ended it.
    Stopped,
    Spent(String),
    TooManyFailed,
    Failed(PluginError),
}

/// How far the asking is.
#[derive(Default)]
struct Progress {
    answered: usize,
    failed_rows: HashSet<usize>,
    /// A reply that could not be read.
    unread: String,
    halt: Option<Halt>,
}

impl Panel {
    /// Opens the cache and looks for the key: nothing is sent yet.
    ///
    /// # Errors
    /// When an option is of no use, the key is not there, or the cache cannot be opened.
    pub fn new(
        options: AskOptions,
        context: &Context,
        reminder: String,
        read: Reader,
    ) -> Result<Self> {
        request::check(&options)?;
        let endpoint = Endpoint::new(&options)?;
        let pace = Pace::new(options.requests_per_minute, options.budget);
        let mut panel = Self {
            seed: context.seed,
            reminder,
            read,
            endpoint,
            pace,
            replies: Mutex::new(Replies::none()),
            settled: Mutex::new(HashMap::new()),
            options,
        };
        let folder = panel.options.cache.clone();
        let folder = folder.or_else(|| context.cache.as_ref().map(|cache| cache.join("judge")));
        if folder.is_none() {
            tracing::warn!(
                "replies are not kept beyond this process: `cache` names a folder for them"
            );
        }
        let name = digest(&[&request::body(&panel.options, "", 0, "")]);
        panel.replies = Mutex::new(Replies::open(folder.as_deref(), &name).map_err(bad_cache)?);
        Ok(panel)
    }

    /// Asks; gives what each reply is worth, `None` where none could be read.
    ///
    /// # Errors
    /// When the endpoint cannot be asked, the budget ends, or more rows than allowed stay without an answer. Everything
    /// answered until then is kept.
    pub fn ask(&self, questions: &Questions<'_>) -> Result<Vec<Option<f64>>> {
        let keys: Vec<Key> = (0..questions.row_of.len())
            .map(|number| *blake3::hash((questions.text)(number).as_bytes()).as_bytes())
            .collect();
        let open: Vec<usize> = {
            let (settled, mut seen) = (lock(&self.settled), HashSet::new());
            let numbers = 0..keys.len();
            let is_open = |number: &usize| {
                !settled.contains_key(&keys[*number]) && seen.insert(keys[*number])
            };
            numbers.filter(is_open).collect()
        };
        if !open.is_empty() {
            self.settle(questions, &keys, &open)?;
        }
        let settled = lock(&self.settled);
        let answers: Vec<Option<f64>> = keys.iter().map(|key| settled[key]).collect();
        let failed = answers
            .iter()
            .zip(&questions.row_of)
            .filter(|(answer, _)| answer.is_none());
        let failed: HashSet<usize> = failed.map(|(_, row)| *row).collect();
        if self.is_too_many(failed.len(), questions.rows) {
            return Err(self.too_many(failed.len(), questions.rows, ""));
        }
        Ok(answers)
    }

    /// Settles the open questions, by several threads that mostly wait.
    fn settle(&self, questions: &Questions<'_>, keys: &[Key], open: &[usize]) -> Result<()> {
        lock(&self.replies).refresh().map_err(bad_cache)?;
        self.pace.restart();
        let mut rows_of: HashMap<Key, Vec<usize>> = HashMap::new();
        for (key, row) in keys.iter().zip(&questions.row_of) {
            rows_of.entry(*key).or_default().push(*row);
        }
        let (next, progress) = (AtomicUsize::new(0), Mutex::new(Progress::default()));
        let work = || {
            while let Some(&number) = open.get(next.fetch_add(1, Ordering::Relaxed)) {
                let answer = self.answer(&(questions.text)(number));
                let mut progress = lock(&progress);
                match answer {
                    Ok((value, reply)) => {
                        lock(&self.settled).insert(keys[number], value);
                        progress.answered += 1;
                        if value.is_none() {
                            progress.failed_rows.extend(&rows_of[&keys[number]]);
                            progress.unread = reply;
                        }
                        if !self.is_too_many(progress.failed_rows.len(), questions.rows) {
                            continue;
                        }
                        progress.halt.get_or_insert(Halt::TooManyFailed);
                    }
                    Err(Halt::Stopped) => {}
                    Err(halt) => {
                        progress.halt.get_or_insert(halt);
                    }
                }
                self.pace.stop();
                return;
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..self.options.concurrency.clamp(1, open.len()) {
                scope.spawn(work);
            }
        });
        lock(&self.replies).sync().map_err(bad_cache)?;
        let progress = progress
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        match progress.halt {
            None => Ok(()),
            Some(Halt::TooManyFailed) => {
                Err(self.too_many(progress.failed_rows.len(), questions.rows, &progress.unread))
            }
            Some(Halt::Spent(what)) => Err(self.spent(&what, progress.answered, open.len())),
            Some(Halt::Failed(error)) => Err(self.broken(error, progress.answered, open.len())),
            Some(Halt::Stopped) => unreachable!("only what stops the others is kept"),
        }
    }

    /// What the reply to a question is worth, and the last reply. It is asked again where it cannot be read.
    fn answer(&self, question: &str) -> Result<(Option<f64>, String), Halt> {
        let mut reply = String::new();
        for attempt in 0..=self.options.reasks {
            let body = request::body(&self.options, question, attempt, &self.reminder);
            let mut hasher = blake3::Hasher::new();
            hasher
                .update(&attempt.to_le_bytes())
                .update(body.as_bytes());
            let key = *hasher.finalize().as_bytes();
            let known = lock(&self.replies).get(&key);
            reply = match known {
                Some(reply) => reply,
                None => self.fetch(&body, &key)?,
            };
            let value = (self.read)(&reply);
            if value.is_some() {
                return Ok((value, reply));
            }
        }
        Ok((None, reply))
    }

    /// The reply of the endpoint, which is kept. Tries again where that may help.
    fn fetch(&self, body: &str, key: &Key) -> Result<String, Halt> {
        let mut retry = 0;
        loop {
            self.pace.admit().map_err(|refusal| match refusal {
                Refusal::Stopped => Halt::Stopped,
                Refusal::Spent(what) => Halt::Spent(what),
            })?;
            let (fault, wait) = match self.endpoint.post(body) {
                Ok(reply) => {
                    // Four bytes to a token, where the endpoint does not count.
                    let guess = (body.len() + reply.text.len()) as u64 / 4;
                    self.pace.spend(reply.tokens.unwrap_or(guess));
                    let kept = lock(&self.replies).put(*key, &reply.text);
                    kept.map_err(|error| Halt::Failed(bad_cache(error)))?;
                    return Ok(reply.text);
                }
                Err(Fault::Lasting(error)) => return Err(Halt::Failed(error)),
                Err(Fault::Passing(fault, wait)) => (fault, wait.filter(|wait| !wait.is_zero())),
            };
            self.before_retry(&fault, wait, retry, key)?;
            retry += 1;
        }
    }

    /// Waits, or says why there is no further try.
    fn before_retry(
        &self,
        fault: &str,
        wait: Option<Duration>,
        retry: u32,
        key: &Key,
    ) -> Result<(), Halt> {
        let options = &self.options;
        if retry == options.retries {
            let error = PluginError::input(format!("{fault}, the last of {} tries", retry + 1));
            return Err(Halt::Failed(error.hint(
                "the endpoint may be down or overloaded: lower `concurrency` or `requests_per_minute`, raise `retries` or `timeout_s`",
            )));
        }
        let most = Duration::from_secs_f64(options.max_wait_s);
        if let Some(wait) = wait.filter(|wait| *wait > most) {
            let error = PluginError::input(format!(
                "{fault}, with the wish to wait {} s, expected at most {}",
                wait.as_secs(),
                options.max_wait_s
            ));
            return Err(Halt::Failed(
                error.hint("go on later, or raise `max_wait_s`"),
            ));
        }
        match wait {
            // The endpoint means everybody.
            Some(wait) => {
                tracing::info!("{fault}: waiting {:.1} s as it asks", wait.as_secs_f64());
                self.pace.pause(wait);
            }
            None => {
                let first = Duration::from_secs_f64(options.retry_delay_s);
                let wait = backoff(first, most, retry, self.seed, key);
                tracing::info!("{fault}: trying again in {:.1} s", wait.as_secs_f64());
                self.pace.sleep(wait);
            }
        }
        Ok(())
    }

    /// Name, model, options and version in one line. `template` is the prompt as it was given, `own` what the judge adds.
    pub fn signature(&self, name: &str, template: &str, own: &str) -> String {
        let system = self.options.system.as_deref().unwrap_or_default();
        let prompt = digest(&[template, system, &self.reminder]);
        let (sampling, reasks) = (request::sampling(&self.options), self.options.reasks);
        let (model, version) = (&self.options.model, env!("CARGO_PKG_VERSION"));
        format!(
            "{name}|model:{model}|prompt:{prompt}|{own}|{sampling}|reasks:{reasks}|version:{version}"
        )
    }

    fn is_too_many(&self, failed: usize, rows: usize) -> bool {
        failed as f64 > self.options.max_failed_share * rows as f64
    }

    /// A trial whose texts cannot be judged has failed, and the search goes on: not an error of the input.
    fn too_many(&self, failed: usize, rows: usize, reply: &str) -> PluginError {
        let last = match self.endpoint.shown(reply) {
            reply if reply.is_empty() => String::new(),
            reply => format!("; the last reply was `{reply}`"),
        };
        PluginError::failed(format!(
            "found {failed} of {rows} examples or more without a readable reply, expected a share of {} at most{last}",
            self.options.max_failed_share
        ))
        .hint("look at `prompt`, `max_tokens` and `pattern`; `max_failed_share` allows more")
    }

    /// As an error of the input it ends a run, which can go on. Otherwise every further trial would fail.
    fn spent(&self, what: &str, answered: usize, open: usize) -> PluginError {
        PluginError::input(format!(
            "budget: found {what} spent, with {answered} of {open} questions answered"
        ))
        .hint(format!(
            "{}: the same command goes on from there with a budget of its own, a run with `--resume`; `--set metrics[N].budget.requests=M` changes it",
            self.kept()
        ))
    }

    fn broken(&self, mut error: PluginError, answered: usize, open: usize) -> PluginError {
        error.message += &format!("; {answered} of {open} questions were answered before");
        let kept = self.kept();
        let hint = error
            .hint
            .take()
            .map_or(kept.clone(), |hint| format!("{hint}; {kept}"));
        error.hint(hint)
    }

    fn kept(&self) -> String {
        match lock(&self.replies).path() {
            Some(path) => format!("all replies are kept in {}", path.display()),
            None => "no reply is kept: `cache` names a folder for them".to_owned(),
        }
    }
}

/// The scores of a judge from what each row is worth: the mean over the rows that were judged, and the share of the others.
///
/// # Errors
/// When no row was judged.
pub fn scores(
    signature: String,
    name: &str,
    failed_name: &str,
    rows: &[Option<f64>],
) -> Result<Scores> {
    let judged: Vec<f64> = rows.iter().copied().flatten().collect();
    if judged.is_empty() {
        return Err(PluginError::failed(format!(
            "found no readable reply to any of {} examples, expected one or more",
            rows.len()
        )));
    }
    let scores = Scores::new(signature);
    let scores = if judged.len() == rows.len() {
        scores.mean_of(name, judged)
    } else {
        scores.value(name, judged.iter().sum::<f64>() / judged.len() as f64)
    };
    let failed = rows.iter().map(|row| f64::from(u8::from(row.is_none())));
    Ok(scores.mean_of(failed_name, failed.collect()))
}

fn bad_cache(what: String) -> PluginError {
    PluginError::input(format!("cache: {what}"))
        .hint("make room, or name another folder with `cache`")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
