//! A pickle reader that knows state dicts and nothing else.
//!
//! Pickle is a program for a stack machine that may call any function. This machine has no functions: the few that a state
//! dict names are recognised and become data, every other name is refused, and so is every instruction that a state dict has
//! no use for. Values live in arenas and refer to each other by number, so that no nesting, however deep, uses the stack.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use crate::dtype::Dtype;

/// A value on the stack.
#[derive(Debug, Clone)]
pub(super) enum Value {
    None,
    Bool,
    Int(i64),
    Float,
    Text(Rc<str>),
    /// Number in `sequences`.
    Sequence(usize),
    /// Number in `maps`.
    Map(usize),
    Name(Name),
    /// Number in `storages`.
    Storage(usize),
    /// Number in `tensors`.
    Tensor(usize),
    /// Something without meaning for the weights.
    Other,
}

/// What a state dict may name.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Name {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    Storage(Dtype),
    /// `torch.Size`, `torch.device` and types of elements: their results are not looked at.
    Inert,
}

/// Elements in a file of the archive.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Storage {
    pub key: String,
    pub dtype: Dtype,
    pub elements: u64,
}

/// A view of a storage.
#[derive(Debug, Clone)]
pub(super) struct View {
    pub storage: usize,
    pub offset: u64,
    pub shape: Vec<usize>,
    pub strides: Vec<u64>,
}

/// What a pickle says.
#[derive(Debug, Default)]
pub(super) struct Pickle {
    pub storages: Vec<Storage>,
    /// Names and views, in the order of the state dict.
    pub tensors: Vec<(String, View)>,
}

/// Keys under which trainings keep the state dict among other things.
const WRAPPERS: [&str; 4] = ["state_dict", "model_state_dict", "model", "module"];

/// What one value of a file may make of another is bounded, so that a small file cannot fill the memory: no function of a
/// state dict takes more arguments, and PyTorch has no tensors of more axes.
const MOST_ARGUMENTS: usize = 16;
const MOST_AXES: usize = 64;

/// Most values that a pickle may push: some twenty stand for a tensor.
const MOST_VALUES: usize = 1 << 23;

/// Reads a pickle. Errors say the offset.
pub(super) fn parse(bytes: &[u8]) -> Result<Pickle, String> {
    let mut machine = Machine {
        bytes,
        position: 0,
        stack: Vec::new(),
        pushed: 0,
        marks: Vec::new(),
        memo: HashMap::new(),
        sequences: Vec::new(),
        maps: Vec::new(),
        storages: Vec::new(),
        views: Vec::new(),
    };
    loop {
        let offset = machine.position;
        if machine.pushed > MOST_VALUES {
            return Err(format!(
                "offset {offset}: found more than {MOST_VALUES} values, expected those of a state dict"
            ));
        }
        match machine.step() {
            Ok(None) => {}
            Ok(Some(value)) => return machine.state_dict(&value),
            Err(what) => return Err(format!("offset {offset}: {what}")),
        }
    }
}

struct Machine<'a> {
    bytes: &'a [u8],
    position: usize,
    stack: Vec<Value>,
    /// Values that were ever pushed.
    pushed: usize,
    /// Heights of the stack.
    marks: Vec<usize>,
    memo: HashMap<u32, Value>,
    sequences: Vec<Vec<Value>>,
    maps: Vec<Vec<(Value, Value)>>,
    storages: Vec<Storage>,
    views: Vec<View>,
}

type Step<T> = Result<T, String>;

impl<'a> Machine<'a> {
    /// One instruction; a value when it was the last.
    fn step(&mut self) -> Step<Option<Value>> {
        match self.take(1)?[0] {
            // PROTO, FRAME
            0x80 => match self.take(1)?[0] {
                2..=5 => {}
                other => return Err(format!("found the protocol {other}, expected 2 to 5")),
            },
            0x95 => drop(self.take(8)?),
            b'.' => return self.pop().map(Some),
            b'(' => self.marks.push(self.stack.len()),
            b'0' => drop(self.pop()?),
            // Constants
            b'N' => self.push(Value::None),
            0x88 | 0x89 => self.push(Value::Bool),
            b'J' => {
                let value = i32::from_le_bytes(self.array()?);
                self.push(Value::Int(value.into()));
            }
            b'K' => {
                let [value] = self.array()?;
                self.push(Value::Int(value.into()));
            }
            b'M' => {
                let value = u16::from_le_bytes(self.array()?);
                self.push(Value::Int(value.into()));
            }
            0x8a => self.long()?,
            b'G' => {
                self.take(8)?;
                self.push(Value::Float);
            }
            b'X' => {
                let length = u32::from_le_bytes(self.array()?);
                self.text(length as usize)?;
            }
            0x8c => {
                let [length] = self.array()?;
                self.text(length.into())?;
            }
            b'C' => {
                let [length] = self.array()?;
                self.take(length.into())?;
                self.push(Value::Other);
            }
            // Tuples, lists, dictionaries
            b')' | b']' => self.sequence(Vec::new()),
            b't' | b'l' => {
                let items = self.pop_mark()?;
                self.sequence(items);
            }
            code @ 0x85..=0x87 => {
                let items = self.pop_many(usize::from(code - 0x84))?;
                self.sequence(items);
            }
            b'}' => self.map(),
            b'a' | b'e' => self.append()?,
            b's' | b'u' => self.set_items()?,
            // The memo
            b'q' => {
                let [number] = self.array()?;
                self.remember(number.into())?;
            }
            b'r' => {
                let number = u32::from_le_bytes(self.array()?);
                self.remember(number)?;
            }
            0x94 => self.remember(self.memo.len() as u32)?,
            b'h' => {
                let [number] = self.array()?;
                self.recall(number.into())?;
            }
            b'j' => {
                let number = u32::from_le_bytes(self.array()?);
                self.recall(number)?;
            }
            // Names, calls, storages
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.name(module, name)?;
            }
            0x93 => match (self.pop()?, self.pop()?) {
                (Value::Text(name), Value::Text(module)) => self.name(&module, &name)?,
                _ => return Err("found a name that is no text".to_owned()),
            },
            b'R' => self.call()?,
            b'b' => {
                // What is built onto a state dict is its `_metadata`, versions of modules.
                self.pop()?;
                if !matches!(self.stack.last(), Some(Value::Map(_))) {
                    return Err("found state for something other than a dictionary".to_owned());
                }
            }
            b'Q' => self.storage()?,
            code => {
                return Err(format!(
                    "found the instruction {code:#04x}, which a state dict has no use for; nothing was executed"
                ));
            }
        }
        Ok(None)
    }

    fn take(&mut self, count: usize) -> Step<&'a [u8]> {
        let rest = &self.bytes[self.position..];
        if count > rest.len() {
            return Err(format!(
                "found {} bytes to the end, expected {count} or more",
                rest.len()
            ));
        }
        self.position += count;
        Ok(&rest[..count])
    }

    fn array<const N: usize>(&mut self) -> Step<[u8; N]> {
        Ok(self.take(N)?.try_into().expect("as many as were taken"))
    }

    fn line(&mut self) -> Step<&'a str> {
        let rest = &self.bytes[self.position..];
        let length = rest.iter().position(|&byte| byte == b'\n');
        let length = length.ok_or("found a name without an end")?;
        let line = &self.take(length + 1)?[..length];
        std::str::from_utf8(line).map_err(|_| "found a name that is no UTF-8".to_owned())
    }

    fn push(&mut self, value: Value) {
        self.pushed += 1;
        self.stack.push(value);
    }

    /// The topmost value, if it lies above the last mark.
    fn pop(&mut self) -> Step<Value> {
        let floor = self.marks.last().copied().unwrap_or(0);
        match self.stack.len() > floor {
            true => Ok(self.stack.pop().expect("it lies above the floor")),
            false => Err("found nothing on the stack".to_owned()),
        }
    }

    fn pop_many(&mut self, count: usize) -> Step<Vec<Value>> {
        let mut items = (0..count)
            .map(|_| self.pop())
            .collect::<Step<Vec<Value>>>()?;
        items.reverse();
        Ok(items)
    }

    fn pop_mark(&mut self) -> Step<Vec<Value>> {
        let mark = self.marks.pop().ok_or("found no mark on the stack")?;
        Ok(self.stack.split_off(mark))
    }

    fn long(&mut self) -> Step<()> {
        let [length] = self.array()?;
        let bytes = self.take(length.into())?;
        if bytes.len() > 8 {
            return Err(format!(
                "found an integer of {length} bytes, expected 8 or fewer"
            ));
        }
        let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
        let mut whole = [if negative { 0xff } else { 0 }; 8];
        whole[..bytes.len()].copy_from_slice(bytes);
        self.push(Value::Int(i64::from_le_bytes(whole)));
        Ok(())
    }

    fn text(&mut self, length: usize) -> Step<()> {
        let text = std::str::from_utf8(self.take(length)?)
            .map_err(|_| "found a text that is no UTF-8".to_owned())?;
        self.push(Value::Text(text.into()));
        Ok(())
    }

    fn sequence(&mut self, items: Vec<Value>) {
        self.sequences.push(items);
        self.push(Value::Sequence(self.sequences.len() - 1));
    }

    fn map(&mut self) {
        self.maps.push(Vec::new());
        self.push(Value::Map(self.maps.len() - 1));
    }

    /// APPEND and APPENDS.
    fn append(&mut self) -> Step<()> {
        let items = match self.bytes[self.position - 1] {
            b'a' => vec![self.pop()?],
            _ => self.pop_mark()?,
        };
        match self.stack.last() {
            Some(&Value::Sequence(number)) => self.sequences[number].extend(items),
            _ => return Err("found no list to append to".to_owned()),
        }
        Ok(())
    }

    /// SETITEM and SETITEMS.
    fn set_items(&mut self) -> Step<()> {
        let items = match self.bytes[self.position - 1] {
            b's' => self.pop_many(2)?,
            _ => self.pop_mark()?,
        };
        let (pairs, rest) = items.as_chunks::<2>();
        match self.stack.last() {
            Some(&Value::Map(number)) if rest.is_empty() => {
                let pairs = pairs
                    .iter()
                    .map(|[key, value]| (key.clone(), value.clone()));
                self.maps[number].extend(pairs);
                Ok(())
            }
            _ => Err("found no dictionary for keys and values".to_owned()),
        }
    }

    fn remember(&mut self, number: u32) -> Step<()> {
        let value = self.stack.last().ok_or("found nothing to remember")?;
        self.memo.insert(number, value.clone());
        Ok(())
    }

    fn recall(&mut self, number: u32) -> Step<()> {
        let value = self.memo.get(&number).cloned();
        let value = value.ok_or_else(|| format!("found nothing remembered as {number}"))?;
        self.push(value);
        Ok(())
    }

    fn name(&mut self, module: &str, name: &str) -> Step<()> {
        let known = match (module, name) {
            ("collections", "OrderedDict") => Some(Name::OrderedDict),
            ("torch._utils", "_rebuild_tensor_v2") => Some(Name::RebuildTensor),
            ("torch._utils", "_rebuild_parameter") => Some(Name::RebuildParameter),
            ("torch", "Size" | "device") => Some(Name::Inert),
            ("torch", name) => storage_dtype(name).map(Name::Storage).or_else(|| {
                let is_dtype = Dtype::ALL.iter().any(|d| d.torch_name() == Some(name));
                is_dtype.then_some(Name::Inert)
            }),
            _ => None,
        };
        let known = known.ok_or_else(|| {
            format!(
                "found the name `{module}.{name}`, which is not part of a state dict; nothing was executed"
            )
        })?;
        self.push(Value::Name(known));
        Ok(())
    }

    /// REDUCE: the functions that a state dict calls, as data.
    fn call(&mut self) -> Step<()> {
        let arguments = match self.pop()? {
            Value::Sequence(number) if self.sequences[number].len() <= MOST_ARGUMENTS => {
                self.sequences[number].clone()
            }
            _ => return Err("found arguments that no part of a state dict has".to_owned()),
        };
        match (self.pop()?, &arguments[..]) {
            (Value::Name(Name::OrderedDict), []) => self.map(),
            (Value::Name(Name::RebuildTensor), [storage, offset, shape, strides, rest @ ..]) => {
                // Behind the gradient's settings: whether the numbers stand for their negatives or conjugates.
                let is_empty = |metadata: &Value| match metadata {
                    Value::None => true,
                    Value::Map(map) => self.maps[*map].is_empty(),
                    _ => false,
                };
                if !rest.iter().skip(2).all(is_empty) {
                    return Err("found a view that negates or conjugates what is stored, expected plain numbers: save it after `resolve_neg()` and `resolve_conj()`".to_owned());
                }
                let view = self.view(storage, offset, shape, strides)?;
                self.views.push(view);
                self.push(Value::Tensor(self.views.len() - 1));
            }
            (Value::Name(Name::RebuildParameter), [tensor @ Value::Tensor(_), ..]) => {
                self.push(tensor.clone());
            }
            (Value::Name(Name::Inert), _) => self.push(Value::Other),
            _ => return Err("found a call that a state dict does not make".to_owned()),
        }
        Ok(())
    }

    fn view(&self, storage: &Value, offset: &Value, shape: &Value, strides: &Value) -> Step<View> {
        let Value::Storage(storage) = *storage else {
            return Err("found a tensor without a storage".to_owned());
        };
        let shape = self.numbers(shape)?;
        let view = View {
            storage,
            offset: number(offset)?,
            strides: self.numbers(strides)?,
            shape: shape
                .into_iter()
                .map(|n| usize::try_from(n).map_err(|_| format!("found an axis of {n} elements")))
                .collect::<Step<_>>()?,
        };
        match view.strides.len() == view.shape.len() {
            true => Ok(view),
            false => Err(format!(
                "found {} strides, expected {}",
                view.strides.len(),
                view.shape.len()
            )),
        }
    }

    fn numbers(&self, value: &Value) -> Step<Vec<u64>> {
        match value {
            Value::Sequence(sequence) if self.sequences[*sequence].len() <= MOST_AXES => {
                self.sequences[*sequence].iter().map(number).collect()
            }
            _ => Err(format!(
                "found no tuple of at most {MOST_AXES} numbers of elements"
            )),
        }
    }

    /// BINPERSID: `("storage", type, key, device, elements)`.
    fn storage(&mut self) -> Step<()> {
        let Value::Sequence(id) = self.pop()? else {
            return Err("found a storage that is no tuple".to_owned());
        };
        let storage = match &self.sequences[id][..] {
            [
                Value::Text(kind),
                Value::Name(Name::Storage(dtype)),
                Value::Text(key),
                Value::Text(_),
                elements,
            ] if &**kind == "storage" => Storage {
                key: key.to_string(),
                dtype: *dtype,
                elements: number(elements)?,
            },
            _ => return Err("found a storage of an unknown kind".to_owned()),
        };
        self.storages.push(storage);
        self.push(Value::Storage(self.storages.len() - 1));
        Ok(())
    }

    /// The state dict in what was read: the dictionary itself, or one inside it.
    fn state_dict(self, value: &Value) -> Step<Pickle> {
        let Value::Map(outer) = *value else {
            return Err("found no dictionary, expected a state dict".to_owned());
        };
        let inner = WRAPPERS.iter().find_map(|wrapper| {
            let mut entries = self.maps[outer].iter();
            entries.find_map(|entry| match entry {
                (Value::Text(key), Value::Map(inner)) if &**key == *wrapper => Some(*inner),
                _ => None,
            })
        });
        let mut pickle = Pickle::default();
        let mut places: HashMap<&str, usize> = HashMap::new();
        let mut seen = Seen::default();
        for (key, value) in &self.maps[inner.unwrap_or(outer)] {
            let (Value::Text(name), Value::Tensor(view)) = (key, value) else {
                // Whatever else a training keeps there has no place in a model, unless it is weights, too.
                if self.holds_tensor(value, &mut seen) {
                    return Err(match key {
                        Value::Text(key) => format!(
                            "found tensors inside `{key}`, expected tensors and their names in one dictionary"
                        ),
                        _ => "found a tensor without a text as its name, expected names of tensors"
                            .to_owned(),
                    });
                }
                continue;
            };
            // As in Python, the last value of a key counts, in the place of the first.
            let entry = (name.to_string(), self.views[*view].clone());
            match places.get(&**name) {
                Some(&place) => pickle.tensors[place] = entry,
                None => {
                    places.insert(name, pickle.tensors.len());
                    pickle.tensors.push(entry);
                }
            }
        }
        if pickle.tensors.is_empty() {
            return Err("found no tensor, expected a state dict of names and tensors".to_owned());
        }
        pickle.storages = self.storages;
        Ok(pickle)
    }
}

/// Numbers of dictionaries and sequences that were looked into.
#[derive(Default)]
struct Seen {
    maps: HashSet<usize>,
    sequences: HashSet<usize>,
}

impl Machine<'_> {
    /// Whether a value is a tensor or has one in it. Values may hold each other, many times over: those that were `seen` have
    /// none.
    fn holds_tensor(&self, value: &Value, seen: &mut Seen) -> bool {
        let mut left = vec![value];
        while let Some(value) = left.pop() {
            match value {
                Value::Tensor(_) => return true,
                Value::Map(map) if seen.maps.insert(*map) => {
                    left.extend(self.maps[*map].iter().map(|(_, value)| value));
                }
                Value::Sequence(sequence) if seen.sequences.insert(*sequence) => {
                    left.extend(&self.sequences[*sequence]);
                }
                _ => {}
            }
        }
        false
    }
}

fn number(value: &Value) -> Step<u64> {
    match value {
        Value::Int(number) => u64::try_from(*number)
            .map_err(|_| format!("found the number {number}, expected none below zero")),
        _ => Err("found no number, expected one".to_owned()),
    }
}

fn storage_dtype(name: &str) -> Option<Dtype> {
    Some(match name {
        "DoubleStorage" => Dtype::F64,
        "FloatStorage" => Dtype::F32,
        "HalfStorage" => Dtype::F16,
        "BFloat16Storage" => Dtype::Bf16,
        "LongStorage" => Dtype::I64,
        "IntStorage" => Dtype::I32,
        "ShortStorage" => Dtype::I16,
        "CharStorage" => Dtype::I8,
        "ByteStorage" => Dtype::U8,
        "BoolStorage" => Dtype::Bool,
        _ => return None,
    })
}
