//! Entries by name that keep their order.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use schemars::JsonSchema;
use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The entries of a section by name, in the order in which the file has them.
#[derive(Debug, Clone, PartialEq, JsonSchema)]
pub struct Named<T>(#[schemars(with = "BTreeMap<String, T>")] Vec<(String, T)>);

impl<T> Named<T> {
    /// The names with what they stand for.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &T)> {
        self.0.iter().map(|(name, entry)| (name, entry))
    }

    /// The names.
    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.0.iter().map(|(name, _)| name)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T: Serialize> Serialize for Named<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Named<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Entries(PhantomData))
    }
}

struct Entries<T>(PhantomData<T>);

impl<'de, T: DeserializeOwned> Visitor<'de> for Entries<T> {
    type Value = Named<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a section with names")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Named(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_in_the_order_of_the_file_and_go_back_in_it() {
        let text = r#"{"near":1,"far":2,"above":3}"#;
        let named: Named<u8> = serde_json::from_str(text).unwrap();
        let found: Vec<(&str, u8)> = named.iter().map(|(name, &n)| (name.as_str(), n)).collect();
        assert_eq!(found, [("near", 1), ("far", 2), ("above", 3)]);
        assert_eq!(serde_json::to_string(&named).unwrap(), text);
    }
}
