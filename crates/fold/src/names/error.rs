//! Parameters whose names or shapes do not make a network.

/// A set of parameters that cannot be renamed.
#[derive(Debug, thiserror::Error)]
pub enum NamesError {
    /// Names that belong to no parameter, or parameters that lack a part.
    #[error("{}", listed(.surplus, .missing))]
    Names {
        /// Names no network has, as the source spells them.
        surplus: Vec<String>,
        /// Names that must be there because their neighbours are.
        missing: Vec<String>,
    },
    /// A parameter with the wrong axes.
    #[error("{name}: expected {expected}, found {found:?}")]
    Shape {
        /// The parameter, as the source spells it.
        name: String,
        /// What its axes should be.
        expected: String,
        /// What they are.
        found: Vec<usize>,
    },
    /// Two names for one parameter.
    #[error("{first} and {second} are the same parameter")]
    Twice {
        /// One name.
        first: String,
        /// The other.
        second: String,
    },
    /// Blocks of a stack that do not agree.
    #[error("{name}: expected {expected}, found {found}")]
    Blocks {
        /// The parameter or stack.
        name: String,
        /// What the rest of the stack has.
        expected: String,
        /// What this one has.
        found: String,
    },
}

/// How many names an error lists.
const LISTED: usize = 10;

fn listed(surplus: &[String], missing: &[String]) -> String {
    let mut lines = Vec::new();
    for (names, what) in [(surplus, "no network has"), (missing, "missing")] {
        if names.is_empty() {
            continue;
        }
        let mut line = format!("{} parameter names {what}: ", names.len());
        line.push_str(&names.iter().take(LISTED).cloned().collect::<Vec<_>>().join(", "));
        if names.len() > LISTED {
            line.push_str(", …");
        }
        lines.push(line);
    }
    lines.join("; ")
}
