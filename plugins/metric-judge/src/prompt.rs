//! Prompts with places for texts.

/// A prompt, cut at its places.
pub struct Template {
    pieces: Vec<Piece>,
}

enum Piece {
    Text(String),
    /// Index into the names that the template was read with.
    Place(usize),
}

impl Template {
    /// Reads a prompt in which each of `names` may stand in braces, any number of times. Other braces stand for
    /// themselves.
    pub fn new(text: &str, names: &[&str]) -> Self {
        let mut pieces = Vec::new();
        let (mut rest, mut plain) = (text, String::new());
        while let Some(start) = rest.find('{') {
            let (before, from) = rest.split_at(start);
            plain.push_str(before);
            let found = names.iter().position(|name| {
                let inside = from[1..].strip_prefix(name);
                inside.is_some_and(|after| after.starts_with('}'))
            });
            match found {
                Some(place) => {
                    pieces.push(Piece::Text(std::mem::take(&mut plain)));
                    pieces.push(Piece::Place(place));
                    rest = &from[names[place].len() + 2..];
                }
                None => {
                    plain.push('{');
                    rest = &from[1..];
                }
            }
        }
        plain.push_str(rest);
        pieces.push(Piece::Text(plain));
        Self { pieces }
    }

    /// Whether the text of that index has a place.
    pub fn has(&self, index: usize) -> bool {
        let mut pieces = self.pieces.iter();
        pieces.any(|piece| matches!(piece, Piece::Place(place) if *place == index))
    }

    /// The prompt with the texts in their places. Braces inside the texts mean nothing.
    pub fn fill(&self, texts: &[&str]) -> String {
        let pieces = self.pieces.iter().map(|piece| match piece {
            Piece::Text(text) => text.as_str(),
            Piece::Place(index) => texts[*index],
        });
        pieces.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_go_to_their_places_and_other_braces_stay() {
        let template = Template::new("{\"a\": {b}} {c}{b}{", &["a", "b", "c"]);
        assert!(!template.has(0) && template.has(1) && template.has(2));
        assert_eq!(template.fill(&["x", "{c}", "é"]), "{\"a\": {c}} é{c}{");
    }
}
