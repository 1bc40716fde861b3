//! WordNet's database files, as far as synonyms need them.
//!
//! The format is that of wndb(5WN): `index.POS` names for each word the places of its synsets in `data.POS`, whose lines
//! begin with their own place; `POS.exc` lists irregular forms. Lines are found by that place and not by seeking, so that
//! files with other line ends work as well.

use std::path::{Path, PathBuf};

use bomf_plugin_api::{PluginError, Result};
use hashbrown::HashMap;
use text::Vocabulary;

/// Parts of speech, by the ends of file names, with the endings that are tried on forms that are not irregular.
const PARTS: [(&str, &[(&str, &str)]); 4] = [
    (
        "noun",
        &[
            ("s", ""),
            ("ses", "s"),
            ("ves", "f"),
            ("xes", "x"),
            ("zes", "z"),
            ("ches", "ch"),
            ("shes", "sh"),
            ("men", "man"),
            ("ies", "y"),
        ],
    ),
    (
        "verb",
        &[
            ("s", ""),
            ("ies", "y"),
            ("es", "e"),
            ("es", ""),
            ("ed", "e"),
            ("ed", ""),
            ("ing", "e"),
            ("ing", ""),
        ],
    ),
    ("adj", &[("er", ""), ("est", ""), ("er", "e"), ("est", "e")]),
    ("adv", &[]),
];

/// The words of WordNet and which of them are synonyms.
#[derive(Debug)]
pub struct WordNet {
    version: String,
    /// Numbers of all names that are one word, upper and lower case apart.
    names: Vocabulary,
    parts: Vec<Part>,
}

/// One part of speech.
#[derive(Debug, Default)]
struct Part {
    endings: &'static [(&'static str, &'static str)],
    /// For each word its range of `synsets`.
    words: HashMap<Box<str>, (u32, u32)>,
    synsets: Vec<u32>,
    /// For each synset where its members begin; one more entry ends the last.
    starts: Vec<u32>,
    /// Numbers of names.
    members: Vec<u32>,
    irregular: HashMap<Box<str>, Vec<Box<str>>>,
}

impl WordNet {
    /// Reads a folder that holds `index.noun`, `data.noun`, `noun.exc` and those of the other parts of speech.
    ///
    /// # Errors
    /// When a file is missing or not as it has to be: names the file and the line.
    pub fn open(folder: &Path) -> Result<Self> {
        let mut found = Self {
            version: String::new(),
            names: Vocabulary::default(),
            parts: Vec::new(),
        };
        for (part, endings) in PARTS {
            let data = File::read(folder, format!("data.{part}"))?;
            if found.version.is_empty() {
                found.version = data.version()?;
            }
            let mut part_found = Part {
                endings,
                starts: vec![0],
                ..Part::default()
            };
            let places = part_found.read_data(&data, &mut found.names)?;
            part_found.read_index(&File::read(folder, format!("index.{part}"))?, &places)?;
            part_found.read_irregular(&File::read(folder, format!("{part}.exc"))?);
            found.parts.push(part_found);
        }
        Ok(found)
    }

    /// Which WordNet it says it is, for example `3.0`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The number of a name, if there is one that is written so.
    pub(crate) fn name(&self, word: &str) -> Option<u32> {
        self.names.find(word)
    }

    /// How many names there are: their numbers are below.
    pub(crate) fn names(&self) -> usize {
        self.names.len()
    }

    /// The names in all synsets of a word in lower case or of its base forms, sorted; names of several words are left out.
    pub(crate) fn synonyms(&self, word: &str) -> Vec<u32> {
        let mut names = Vec::new();
        for part in &self.parts {
            part.for_each_form(word, |form| {
                let Some(&(start, end)) = part.words.get(form) else {
                    return;
                };
                for &synset in &part.synsets[start as usize..end as usize] {
                    let [start, end] =
                        [synset, synset + 1].map(|at| part.starts[at as usize] as usize);
                    names.extend_from_slice(&part.members[start..end]);
                }
            });
        }
        names.sort_unstable();
        names.dedup();
        names
    }
}

impl Part {
    /// The form itself, then its irregular base forms, or if it has none what its endings may have been.
    fn for_each_form(&self, word: &str, mut see: impl FnMut(&str)) {
        see(word);
        if let Some(forms) = self.irregular.get(word) {
            return forms.iter().for_each(|form| see(form));
        }
        let mut form = String::new();
        for (ending, replacement) in self.endings {
            if let Some(stem) = word.strip_suffix(ending) {
                form.clear();
                form.push_str(stem);
                form.push_str(replacement);
                see(&form);
            }
        }
    }

    /// `PLACE LEXFILE TYPE COUNT (WORD ID)... | gloss`, the count in hexadecimal. Returns the synsets' places, ascending.
    fn read_data(&mut self, file: &File, names: &mut Vocabulary) -> Result<Vec<u32>> {
        let mut places = Vec::new();
        for (line, text) in file.entries() {
            let mut fields = text.split_ascii_whitespace();
            let place = fields.next().and_then(|field| field.parse().ok());
            let count = fields
                .nth(2)
                .and_then(|field| usize::from_str_radix(field, 16).ok());
            let (Some(place), Some(count)) = (place, count) else {
                return Err(file.fault(line, "expected `PLACE LEXFILE TYPE COUNT`"));
            };
            if places.last().is_some_and(|last| *last >= place) {
                return Err(file.fault(line, "expected a place behind that of the line before"));
            }
            for _ in 0..count {
                let (Some(name), Some(_)) = (fields.next(), fields.next()) else {
                    return Err(file.fault(line, "expected as many words as its count says"));
                };
                if !name.contains('_') {
                    self.members.push(names.number(without_marker(name)));
                }
            }
            places.push(place);
            self.starts.push(self.members.len() as u32);
        }
        Ok(places)
    }

    /// `WORD POS SYNSETS POINTERS (POINTER)... SENSES TAGGED (PLACE)...`.
    fn read_index(&mut self, file: &File, places: &[u32]) -> Result<()> {
        for (line, text) in file.entries() {
            let mut fields = text.split_ascii_whitespace();
            let word = fields.next().unwrap_or_default();
            let mut count = |skipped: usize| {
                fields
                    .nth(skipped)
                    .and_then(|field| field.parse::<usize>().ok())
            };
            let (Some(synsets), Some(pointers)) = (count(1), count(0)) else {
                return Err(file.fault(line, "expected `WORD POS SYNSETS POINTERS`"));
            };
            let start = self.synsets.len() as u32;
            for place in fields.skip(pointers + 2) {
                let found = place
                    .parse()
                    .ok()
                    .and_then(|place| places.binary_search(&place).ok());
                let found = found.ok_or_else(|| {
                    file.fault(
                        line,
                        &format!("expected the place of a synset, found `{place}`"),
                    )
                })?;
                self.synsets.push(found as u32);
            }
            let end = self.synsets.len() as u32;
            if (end - start) as usize != synsets {
                return Err(file.fault(
                    line,
                    &format!("expected {synsets} places, found {}", end - start),
                ));
            }
            self.words.insert(word.into(), (start, end));
        }
        Ok(())
    }

    /// `FORM BASE...`; of several lines for a form the last one holds.
    fn read_irregular(&mut self, file: &File) {
        for (_, text) in file.entries() {
            let mut fields = text.split_ascii_whitespace();
            if let Some(form) = fields.next() {
                self.irregular
                    .insert(form.into(), fields.map(Box::from).collect());
            }
        }
    }
}

/// An adjective's marker, `(a)`, `(p)` or `(ip)`, is not part of its name.
fn without_marker(name: &str) -> &str {
    match name.strip_suffix(')').and_then(|open| open.split_once('(')) {
        Some((name, _)) => name,
        None => name,
    }
}

struct File {
    path: PathBuf,
    text: String,
}

impl File {
    fn read(folder: &Path, name: String) -> Result<Self> {
        let path = folder.join(name);
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Self { path, text }),
            Err(error) => Err(PluginError::input(format!("cannot read {}: {error}", path.display()))
                .hint("a folder of WordNet holds `index`, `data` and `exc` files of nouns, verbs, adjectives and adverbs")),
        }
    }

    /// All lines but those of the licence at the top, which begin with a space.
    fn entries(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text
            .lines()
            .enumerate()
            .filter(|(_, line)| !line.is_empty() && !line.starts_with(' '))
    }

    /// `WordNet 3.0 Copyright ...` in the licence.
    fn version(&self) -> Result<String> {
        let licence = self.text.lines().take_while(|line| line.starts_with(' '));
        let mut versions =
            licence.filter_map(|line| line.split_once("WordNet ")?.1.split_once(" Copyright"));
        match versions.next() {
            Some((version, _)) => Ok(version.to_owned()),
            None => Err(self.fault(
                0,
                "expected the licence at the top to say `WordNet VERSION Copyright`",
            )),
        }
    }

    fn fault(&self, line: usize, what: &str) -> PluginError {
        let found = self.text.lines().nth(line).unwrap_or_default();
        let found: String = found.chars().take(60).collect();
        PluginError::input(format!(
            "{}, line {}: {what}; found `{found}`",
            self.path.display(),
            line + 1
        ))
    }
}
