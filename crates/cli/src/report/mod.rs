//! report.html: one self-contained page a prediction, opened with no network.
//!
//! The numbers travel as JSON inside the page; `view.js` draws the chain, `plots.js` the charts.

use serde::Serialize;

/// What the page shows. Lengths: r residues.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Target name.
    pub name: String,
    /// One-letter sequence, r letters.
    pub sequence: String,
    /// Predictions, best first.
    pub models: Vec<Model>,
    /// Alignment rows per column and identity bin, `[bins][r]`, lowest identity first; empty without alignment.
    pub coverage: Vec<Vec<u32>>,
    /// Label and value of every fact about the run, in order.
    pub facts: Vec<(String, String)>,
    /// What the user should know.
    pub notes: Vec<String>,
}

/// One prediction.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Model {
    /// As in the selector: `rank 1, model_1_ptm, seed 0`.
    pub label: String,
    /// Label and value of what differs between models: mean pLDDT, pTM, recycles.
    pub facts: Vec<(String, String)>,
    /// Confidence per residue, 0–100, `[r]`.
    pub plddt: Vec<f32>,
    /// N, CA, C and O of each residue, Å, `[r][4][3]`; `None` for residues without coordinates.
    pub backbone: Vec<Option<[[f32; 3]; 4]>>,
    /// Predicted aligned error, Å, `[r * r]`, row = aligned residue.
    pub pae: Option<Vec<f32>>,
    /// The largest error the head can say, Å.
    pub max_pae: Option<f32>,
}

/// The page.
pub fn render(report: &Report) -> String {
    let title = escape(&report.name);
    // The template is cut at its markers once, so nothing in the data can be taken for one.
    let mut page = String::new();
    let mut rest = include_str!("report.html");
    while let Some((before, after)) = rest.split_once("{{") {
        let Some((marker, after)) = after.split_once("}}") else { break };
        page.push_str(before);
        match marker {
            "title" => page.push_str(&title),
            "style" => page.push_str(include_str!("report.css")),
            "data" => page.push_str(&json(report)),
            "view" => page.push_str(include_str!("view.js")),
            "plots" => page.push_str(include_str!("plots.js")),
            _ => {}
        }
        rest = after;
    }
    page.push_str(rest);
    page
}

/// JSON that cannot end the `<script>` it stands in. Numbers are rounded to 1/100; what is not finite becomes null.
fn json(report: &Report) -> String {
    let mut report = report.clone();
    for model in &mut report.models {
        let coordinates = model.backbone.iter_mut().flatten().flatten().flatten();
        for x in coordinates.chain(&mut model.plddt).chain(model.pae.iter_mut().flatten()) {
            *x = (*x * 100.0).round() / 100.0;
        }
    }
    let text = serde_json::to_string(&report).unwrap_or_else(|_| "null".to_string());
    text.replace('<', "\\u003c").replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029")
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A report with a shipped protein's coordinates and made-up confidences.
    fn example() -> Report {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../data/examples/");
        let pdb = std::fs::read_to_string(format!("{root}5pal_A.ref.pdb")).unwrap();
        let atoms: Vec<[f32; 3]> = pdb
            .lines()
            .filter(|l| l.starts_with("ATOM"))
            .map(|l| [30, 38, 46].map(|i| l[i..i + 8].trim().parse().unwrap()))
            .collect();
        let backbone: Vec<_> = atoms.chunks_exact(4).map(|a| Some([a[0], a[1], a[2], a[3]])).collect();
        let r = backbone.len();
        let plddt = (0..r).map(|i| 72.0 + 26.0 * (i as f32 * 0.11).sin()).collect();
        let pae = (0..r * r).map(|k| 1.0 + 0.25 * (k / r).abs_diff(k % r) as f32).collect();
        let pair = |a: &str, b: &str| (a.to_string(), b.to_string());
        let coverage = (0..5).map(|b| (0..r).map(|i| (10 + 4 * b + i % 7) as u32).collect()).collect();
        let model = Model {
            label: "rank 1, model_1_ptm, seed 0".to_string(),
            facts: vec![pair("Mean pLDDT", "83.1"), pair("pTM", "0.81")],
            plddt,
            backbone,
            pae: Some(pae),
            max_pae: Some(31.75),
        };
        let second = Model { label: "rank 2, no PAE".to_string(), pae: None, ..model.clone() };
        Report {
            name: "5pal_A".to_string(),
            sequence: "A".repeat(r),
            models: vec![model, second],
            coverage,
            facts: vec![pair("Length", "109 residues"), pair("Weights sha256", &"0f3a".repeat(16))],
            notes: vec!["5pal_A.fasta:1: 2 lower-case residues read as upper case".to_string()],
        }
    }

    #[test]
    fn page_is_whole_and_asks_for_nothing() {
        let page = render(&example());
        let path = std::env::temp_dir().join(format!("foldry-report-{}.html", std::process::id()));
        std::fs::write(&path, &page).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), page);
        if std::env::var_os("FOLDRY_KEEP_REPORT").is_none() {
            std::fs::remove_file(&path).unwrap();
        }
        assert!(!page.contains("{{") && page.ends_with("</html>\n"));
        for outside in ["http://", "https://", "src=", "@import", "url("] {
            assert!(!page.contains(outside), "{outside}");
        }
    }

    #[test]
    fn names_cannot_leave_their_place() {
        let name = "</script><script>alert(1)</script>{{data}}".to_string();
        let page =
            render(&Report { name: name.clone(), notes: vec!["\u{2028}".to_string()], ..Report::default() });
        assert!(!page.contains("<script>alert"));
        assert_eq!(
            page.matches("</script>").count(),
            render(&Report::default()).matches("</script>").count()
        );
        assert!(!page.contains('\u{2028}'));
        assert!(page.contains("\\u003c/script>\\u003cscript>alert(1)"));
    }

    #[test]
    fn numbers_without_value_are_null() {
        let backbone = vec![None, Some([[0.125; 3]; 4])];
        let model = Model { plddt: vec![f32::NAN, 71.239], backbone, ..Model::default() };
        let page = render(&Report { models: vec![model], ..Report::default() });
        assert!(page.contains("\"plddt\":[null,71.24],\"backbone\":[null,[[0.13,0.13,0.13],"), "{page}");
    }
}
