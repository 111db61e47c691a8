//! Files of a folder and the folders below it, by what their names say they are.

use crate::Error;
use std::fs;
use std::path::{Path, PathBuf};

/// Deeper folders are taken for a loop of links.
const MAX_DEPTH: usize = 16;
const COMPRESSED: [&str; 3] = [".gz", ".zst", ".zstd"];
const STRUCTURES: [&str; 5] = [".cif", ".mmcif", ".pdbx", ".pdb", ".ent"];
const ALIGNMENTS: [&str; 5] = [".a3m", ".a2m", ".sto", ".stk", ".stockholm"];

/// What was found, sorted by path.
#[derive(Debug, Default)]
pub(super) struct Tree {
    /// (path, path within the folder)
    pub structures: Vec<(PathBuf, String)>,
    /// The same of alignments.
    pub alignments: Vec<(PathBuf, String)>,
}

/// Hidden files and folders are left out. A single file is a tree of its own.
pub(super) fn walk(root: &Path) -> Result<Tree, Error> {
    let mut tree = Tree::default();
    let metadata = fs::metadata(root).map_err(Error::io(root))?;
    if metadata.is_dir() {
        visit(root, "", 0, &mut tree)?;
    } else {
        tree.add(root.to_path_buf(), root.file_name().unwrap_or_default().to_string_lossy().into_owned());
    }
    tree.structures.sort();
    tree.alignments.sort();
    Ok(tree)
}

fn visit(folder: &Path, within: &str, depth: usize, tree: &mut Tree) -> Result<(), Error> {
    if depth == MAX_DEPTH {
        let what = format!("expected at most {MAX_DEPTH} folders within each other, found more");
        return Err(Error::source(folder.display().to_string(), what));
    }
    for entry in fs::read_dir(folder).map_err(Error::io(folder))? {
        let entry = entry.map_err(Error::io(folder))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') {
            continue;
        }
        let path = entry.path();
        let within = if within.is_empty() { name } else { format!("{within}/{name}") };
        // A link to nowhere is a file that cannot be read, and will be said to be.
        if fs::metadata(&path).is_ok_and(|m| m.is_dir()) {
            visit(&path, &within, depth + 1, tree)?;
        } else {
            tree.add(path, within);
        }
    }
    Ok(())
}

impl Tree {
    fn add(&mut self, path: PathBuf, within: String) {
        let plain = within.to_ascii_lowercase();
        let plain = COMPRESSED.iter().find_map(|e| plain.strip_suffix(e)).unwrap_or(&plain);
        if STRUCTURES.iter().any(|e| plain.ends_with(e)) {
            self.structures.push((path, within));
        } else if ALIGNMENTS.iter().any(|e| plain.ends_with(e)) {
            self.alignments.push((path, within));
        }
    }
}

/// File name without folders, compression and format; the archive's `pdb1abc.ent` is `1abc`.
pub(super) fn stem(name: &str) -> &str {
    let name = name.rsplit('/').next().unwrap_or(name);
    let lower = name.to_ascii_lowercase(); // as long as `name`, byte for byte
    let mut end = name.len();
    for endings in [&COMPRESSED[..], &[STRUCTURES, ALIGNMENTS].concat()] {
        let ending = endings.iter().find(|e| lower[..end].ends_with(**e) && end > e.len());
        end -= ending.map_or(0, |e| e.len());
    }
    let entry = name[..end].strip_prefix("pdb").filter(|id| id.len() == 4 && lower.contains(".ent"));
    entry.unwrap_or(&name[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stems() {
        for (name, expected) in [
            ("ab/1abc.cif.gz", "1abc"),
            ("pdb1abc.ent.gz", "1abc"),
            ("pdb1abc.pdb", "pdb1abc"),
            ("x.y.PDB", "x.y"),
            ("1abc_A.a3m.zst", "1abc_A"),
            (".cif", ".cif"),
            ("plain", "plain"),
        ] {
            assert_eq!(stem(name), expected);
        }
    }

    #[test]
    fn trees_are_sorted_and_hidden_files_left_out() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("b/c")).unwrap();
        fs::create_dir_all(folder.path().join(".git")).unwrap();
        for name in ["z.pdb", "b/c/1.CIF.gz", "b/x.sto", "b/notes.txt", ".git/a.pdb", "._z.pdb"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        let tree = walk(folder.path()).unwrap();
        let names = |files: &[(PathBuf, String)]| files.iter().map(|f| f.1.clone()).collect::<Vec<_>>();
        assert_eq!(names(&tree.structures), ["b/c/1.CIF.gz", "z.pdb"]);
        assert_eq!(names(&tree.alignments), ["b/x.sto"]);
        let single = walk(&folder.path().join("z.pdb")).unwrap();
        assert_eq!(names(&single.structures), ["z.pdb"]);
        assert!(walk(&folder.path().join("none")).is_err());
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(folder.path(), folder.path().join("b/loop")).unwrap();
            assert!(walk(folder.path()).unwrap_err().to_string().contains("at most 16 folders"));
        }
    }
}
