//! Flat vectors cut into files that travel, and put together again.

use super::Parameter;
use nn::files::{Array, Arrays};

/// Most bytes of a file.
pub(super) const LIMIT: usize = 16 << 20;

/// What an entry takes in a file's header, beside its name; a generous guess.
const ENTRY: usize = 160;

/// Cuts the vector `flat` of `parameters` into arrays for files of at most `limit` bytes, in order. A parameter that does not
/// fit the rest of a file is cut: its pieces are one-dimensional and named `NAME#OFFSET`, the offset in elements.
pub(super) fn cut(parameters: &[Parameter], flat: &[f32], limit: usize) -> Vec<Arrays> {
    let mut files = vec![Arrays::new()];
    let (mut start, mut used) = (0, ENTRY);
    for parameter in parameters {
        let len = parameter.len();
        let cost = ENTRY + 2 * parameter.name.len();
        let mut done = 0;
        loop {
            let room = limit.saturating_sub(used + cost) / 4;
            let left = len - done;
            // Cutting what would fit a file of its own gains nothing.
            let fresh = files.last().is_none_or(Arrays::is_empty);
            let fits_alone = left <= limit.saturating_sub(ENTRY + cost) / 4;
            if left > room && !fresh && (fits_alone || room == 0) {
                files.push(Arrays::new());
                used = ENTRY;
                continue;
            }
            // A limit below one entry still makes progress.
            let take = left.min(room.max(1));
            let values = &flat[start + done..start + done + take];
            let (name, array) = if take == len {
                (parameter.name.clone(), Array::from_f32(&parameter.shape, values))
            } else {
                (format!("{}#{done}", parameter.name), Array::from_f32(&[take], values))
            };
            files.last_mut().expect("never empty").insert(name, array);
            used += cost + 4 * take;
            done += take;
            if done == len {
                break;
            }
        }
        start += len;
    }
    files
}

/// Puts together what [`cut`] made. `None` says what is missing or does not fit.
pub(super) fn join(parameters: &[Parameter], mut arrays: Arrays) -> Result<Vec<f32>, String> {
    let total = parameters.iter().map(Parameter::len).sum();
    let mut flat = Vec::with_capacity(total);
    for parameter in parameters {
        let len = parameter.len();
        if let Some(array) = arrays.remove(&parameter.name) {
            if array.shape() != parameter.shape {
                return Err(format!("{} {:?}", parameter.name, array.shape()));
            }
            flat.extend(array.to_f32());
            continue;
        }
        let mut done = 0;
        while done < len {
            let name = format!("{}#{done}", parameter.name);
            let Some(array) = arrays.remove(&name) else { return Err(format!("no {name}")) };
            if array.is_empty() || array.len() > len - done {
                return Err(format!("{name} {:?}", array.shape()));
            }
            done += array.len();
            flat.extend(array.to_f32());
        }
        if len == 0 {
            return Err(format!("no {}", parameter.name));
        }
    }
    match arrays.keys().next() {
        None => Ok(flat),
        Some(name) => Err(format!("{name}, which is no parameter")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nn::files::safetensors;

    #[test]
    fn cut_and_joined_is_the_same_at_any_limit() {
        let parameter = |name: &str, shape: &[usize]| Parameter { name: name.into(), shape: shape.into() };
        let parameters = [
            parameter("a", &[3, 5]),
            parameter("blocks.0.weight", &[40, 30]),
            parameter("c", &[]),
            parameter("d#1", &[7]),
            parameter("nothing", &[2, 0]),
            parameter("z", &[400]),
        ];
        let total: usize = parameters.iter().map(Parameter::len).sum();
        let flat: Vec<f32> = (0..total).map(|i| i as f32 / 7.0).collect();
        for (limit, least) in [(100_000, 1), (2500, 3), (1000, 6)] {
            let files = cut(&parameters, &flat, limit);
            assert!(files.len() >= least, "{limit}: {}", files.len());
            let mut all = Arrays::new();
            for file in files {
                let bytes = safetensors::to_bytes(&file, &Default::default()).unwrap();
                assert!(bytes.len() <= limit, "{limit}: {}", bytes.len());
                all.extend(file);
            }
            assert_eq!(join(&parameters, all.clone()).unwrap(), flat);
            all.pop_last();
            assert!(join(&parameters, all).is_err());
        }
    }

    #[test]
    fn surplus_and_misshapen_arrays_are_named() {
        let parameters = [Parameter { name: "a".into(), shape: vec![2, 3] }];
        let whole = Array::from_f32(&[2, 3], &[0.0; 6]);
        let arrays = |list: &[(&str, &Array)]| {
            list.iter().map(|(n, a)| (n.to_string(), (*a).clone())).collect::<Arrays>()
        };
        assert!(join(&parameters, arrays(&[("a", &whole)])).is_ok());
        let error = join(&parameters, arrays(&[("a", &whole), ("b", &whole)])).unwrap_err();
        assert_eq!(error, "b, which is no parameter");
        let error = join(&parameters, arrays(&[("a", &whole.reshape(&[3, 2]).unwrap())])).unwrap_err();
        assert_eq!(error, "a [3, 2]");
        let error = join(&parameters, arrays(&[("a#0", &whole), ("a#6", &whole)])).unwrap_err();
        assert_eq!(error, "a#6, which is no parameter");
    }
}
