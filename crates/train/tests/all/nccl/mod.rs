//! Ranks that talk through NCCL, as processes, on a stand-in for it and for the driver (`fake.c`): no GPU.
#![cfg(target_os = "linux")]

use super::ranks::{difference, state};
use super::{config, contract, lines};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use train::TrainConfig;

/// The folder with the stand-in under the names of both libraries.
fn libraries() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("nccl-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/all/nccl/fake.c");
        let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
        let mut command = Command::new(compiler);
        command.args(["-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-pthread", "-o"]);
        let built = command.arg(folder.join("libcuda.so.1")).arg(source).status().expect("a C compiler");
        assert!(built.success());
        std::os::unix::fs::symlink("libcuda.so.1", folder.join("libnccl.so.2")).unwrap();
        folder
    })
}

/// Ranks that start together.
struct Launch<'a> {
    folder: &'a Path,
    port: u16,
    world: usize,
}

impl<'a> Launch<'a> {
    fn new(folder: &'a Path, world: usize) -> Self {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        Self { folder, port: free.local_addr().unwrap().port(), world }
    }

    fn rank(&self, rank: usize, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env("LD_LIBRARY_PATH", libraries()).env("TMPDIR", self.folder).env("FAKE_GPUS", "3");
        let numbers = [("RANK", rank), ("LOCAL_RANK", rank), ("WORLD_SIZE", self.world)];
        command.envs(numbers.map(|(name, n)| (name, n.to_string())));
        command.env("MASTER_ADDR", "127.0.0.1").env("MASTER_PORT", self.port.to_string());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// `train-mlp` in the folder `name`.
    fn trains(&self, rank: usize, name: &str, config: &TrainConfig) -> Command {
        let recipe = self.folder.join(format!("{name}-{}.json", self.world));
        std::fs::write(&recipe, serde_json::to_string(config).unwrap()).unwrap();
        let mut command = self.rank(rank, env!("CARGO_BIN_EXE_train-mlp"));
        command.arg(self.folder.join(name)).arg(recipe);
        command
    }
}

/// What all end with.
fn ends(commands: impl IntoIterator<Item = Command>) -> Vec<Output> {
    let children: Vec<_> = commands.into_iter().map(|mut command| command.spawn().unwrap()).collect();
    children.into_iter().map(|child| child.wait_with_output().unwrap()).collect()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn ended_well(outputs: &[Output]) {
    for output in outputs {
        assert_eq!(output.status.code(), Some(0), "{}", text(output));
    }
}

/// What each of three ranks does; the test below starts them.
#[test]
#[ignore = "no test by itself: values_are_added_in_the_order_of_ranks runs it as three processes"]
fn as_a_rank() {
    let ranks = train::join().unwrap();
    contract::keeps(&*ranks, 11);
    // More than a round takes: a third of 64 MiB for each rank.
    contract::keeps(&*ranks, 12_000_000);
    println!("rank {} is content", ranks.rank());
}

#[test]
fn values_are_added_in_the_order_of_ranks() {
    let folder = tempfile::tempdir().unwrap();
    let launch = Launch::new(folder.path(), 3);
    let ranks = (0..3).map(|rank| {
        let mut command = launch.rank(rank, std::env::current_exe().unwrap());
        command.args(["--exact", "nccl::as_a_rank", "--ignored", "--nocapture"]);
        command
    });
    for (rank, output) in ends(ranks).iter().enumerate() {
        let out = String::from_utf8_lossy(&output.stdout);
        assert!(out.contains(&format!("rank {rank} is content")), "{out}{}", text(output));
        ended_well(std::slice::from_ref(output));
    }
}

#[test]
fn two_ranks_are_one_but_for_rounding() {
    let folder = tempfile::tempdir().unwrap();
    let train = |name: &str, world: usize, way: &str| {
        let launch = Launch::new(folder.path(), world);
        let all = (0..world).map(|rank| {
            let mut command = launch.trains(rank, name, &config());
            command.env("FOLDRY_RANKS", way);
            command
        });
        let outputs = ends(all);
        ended_well(&outputs);
        // Rank 0 alone speaks.
        for (rank, output) in outputs.iter().enumerate() {
            assert_eq!(!output.stdout.is_empty(), rank == 0);
        }
        state(&folder.path().join(name))
    };
    let alone = train("alone", 1, "none");
    // Through NCCL, nothing is different for one.
    assert_eq!(alone, train("one", 1, "nccl"));
    let two = train("two", 2, "");
    let off = difference(&alone, &two);
    println!("2 ranks and 1: {off:.1e} of the greatest value");
    assert!(off > 0.0 && off < 2e-6, "{off:e}");
    // The same to the bit each time.
    assert_eq!(two, train("again", 2, ""));
    for (a, b) in
        lines(&folder.path().join("alone"), "train").iter().zip(lines(&folder.path().join("two"), "train"))
    {
        let (a, b) = (a["loss"].as_f64().unwrap(), b["loss"].as_f64().unwrap());
        assert!((a / b - 1.0).abs() < 1e-5, "{a} {b}");
    }
}

#[test]
fn a_rank_that_fails_ends_all() {
    let folder = tempfile::tempdir().unwrap();
    // All find it, one tells it, the others end with its code.
    let launch = Launch::new(folder.path(), 3);
    let outputs = ends((0..3).map(|rank| launch.trains(rank, "a", &config())));
    let errors: Vec<String> = outputs.iter().map(text).filter(|t| t.contains("ERROR")).collect();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(
        errors[0].contains("rank 0: batch: expected a multiple of 3, the number of ranks, found 4"),
        "{errors:?}"
    );
    for output in &outputs {
        assert_eq!(output.status.code(), Some(1), "{}", text(output));
    }
    assert!(text(&outputs[2]).contains("INFO train.end rank=2 failed=0"), "{}", text(&outputs[2]));

    // NCCL fails in the middle of it, and would never end.
    let launch = Launch::new(folder.path(), 2);
    let mut ranks = [0, 1].map(|rank| launch.trains(rank, "b", &config()));
    ranks[1].env("FAKE_NCCL_FAIL", "9");
    let outputs = ends(ranks);
    let told = text(&outputs[1]);
    let error = "ERROR  rank 1: collective: NCCL: exchange between ranks gave error 6, remote process exited";
    assert!(told.contains(error) && told.contains("fake NCCL: aborted"), "{told}");
    assert!(text(&outputs[0]).contains("INFO train.end rank=0 failed=1"), "{}", text(&outputs[0]));
    assert_eq!([0, 1].map(|rank: usize| outputs[rank].status.code()), [Some(1); 2]);
}

#[test]
fn a_rank_that_dies_ends_all() {
    for dies in [1, 0] {
        let folder = tempfile::tempdir().unwrap();
        let launch = Launch::new(folder.path(), 3);
        let long = TrainConfig { steps: 100_000, batch: 6, checkpoint_every: 1, ..config() };
        let start = |rank| launch.trains(rank, "long", &long).args(["--pause", "5"]).spawn().unwrap();
        let mut ranks: Vec<_> = (0..3).map(start).collect();
        let began = Instant::now();
        while !folder.path().join("long/checkpoints/step-00000002").exists() {
            assert!(began.elapsed() < Duration::from_secs(120), "no second step");
            std::thread::sleep(Duration::from_millis(20));
        }
        ranks[dies].kill().unwrap();
        let died = Instant::now();
        for (rank, child) in ranks.into_iter().enumerate() {
            let output = child.wait_with_output().unwrap();
            if rank != dies {
                let told = text(&output);
                assert!(told.contains(&format!("ERROR  rank {rank}: rank {dies} is lost: ")), "{told}");
                assert_eq!(output.status.code(), Some(1));
            }
        }
        assert!(died.elapsed() < Duration::from_secs(60), "{:?}", died.elapsed());
    }
}

#[test]
fn what_is_wrong_at_the_beginning_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let launch = Launch::new(folder.path(), 2);
    let told = |change: &dyn Fn(usize, &mut Command)| {
        let ranks = (0..2).map(|rank| {
            let mut command = launch.trains(rank, "x", &config());
            change(rank, &mut command);
            command
        });
        let outputs = ends(ranks);
        assert!(outputs.iter().all(|output| output.status.code() == Some(1)));
        outputs.iter().map(text).collect::<String>()
    };
    let all = told(&|_, command| {
        command.env_remove("LOCAL_RANK");
    });
    assert_eq!(all.matches("LOCAL_RANK: expected this rank's GPU, found nothing").count(), 2, "{all}");
    // The other would wait for it.
    let all = told(&|rank, command| {
        command.env("LOCAL_RANK", if rank == 1 { "3" } else { "0" });
    });
    assert!(all.contains("rank 1: expected a GPU below 3, got 3"), "{all}");
    assert!(all.contains("ERROR  rank 0: rank 1 is lost: its process has ended"), "{all}");
    let all = told(&|_, command| {
        command.env("LOCAL_RANK", "1");
    });
    assert!(
        all.contains("NCCL: ncclCommInitRank gave error 5") && all.contains("needs a GPU of its own"),
        "{all}"
    );
    let all = told(&|rank, command| {
        command.env("WORLD_SIZE", if rank == 1 { "3" } else { "2" });
    });
    assert_eq!(all.matches("has WORLD_SIZE=3, rank 0 has 2").count(), 2, "{all}");
    assert!(!folder.path().join("x/checkpoints").exists());
}
