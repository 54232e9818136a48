//! HUP, INT and TERM at any time during the four long commands: the exit code, nothing under a
//! final name, and the same command succeeds afterwards. Each process is signalled by its own id.

use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::shelf::{Image, noise};
use super::world::{command, dir, finals, fresh, layout, manifest, packmule, prefix, stranger, var};

const SIGNALS: [(&str, i32); 3] = [("HUP", 1), ("INT", 2), ("TERM", 15)];
/// How often each command is signalled.
const TIMES: u32 = 9;

/// Runs it and sends `signal` after `delay`; returns how it ended.
fn signalled(args: &[&str], signal: &str, delay: Duration) -> ExitStatus {
    let mut child = command(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(delay);
    if child.try_wait().unwrap().is_none() {
        // It may end by itself just now; it is not reaped yet, so its id is still its own.
        stranger("kill", &["-s", signal, &child.id().to_string()]);
    }
    child.wait().unwrap()
}

/// Signals a command at times spread over its duration, each with its own arguments, and runs it
/// again. `untouched` checks what an interrupted run left, `done` the result of a complete one.
fn any_time(args: impl Fn(u32) -> Vec<String>, untouched: impl Fn(u32), done: impl Fn(u32)) {
    let words = |index| args(index);
    let run = |index: u32, signal: &str, delay| {
        let words = words(index);
        signalled(&words.iter().map(String::as_str).collect::<Vec<_>>(), signal, delay)
    };
    let begin = Instant::now();
    packmule(&words(0).iter().map(String::as_str).collect::<Vec<_>>(), 0);
    let whole = begin.elapsed();
    done(0);
    let mut caught = 0;
    for index in 1..=TIMES {
        let (signal, number) = SIGNALS[index as usize % 3];
        let ended = run(index, signal, whole * index / (TIMES + 1));
        match (ended.code(), ended.signal()) {
            // Before the handler was installed, or after the run had ended by itself.
            (None, Some(found)) => assert_eq!(found, number),
            (Some(0), _) => {
                done(index);
                continue;
            }
            (code, _) => {
                assert_eq!(code, Some(128 + number), "{signal}");
                caught += 1;
            }
        }
        untouched(index);
        let again = words(index);
        packmule(&again.iter().map(String::as_str).collect::<Vec<_>>(), 0);
        done(index);
    }
    assert!(caught >= 2, "only {caught} of {TIMES} came in time");
}

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(ToOwned::to_owned).collect()
}

/// Makes a layout and a bundle of it, large enough to leave time for a signal.
fn prepare(test: &str) {
    drop(fresh(test));
    let layers = |seed: u64| (0..6).map(|number| noise(seed + number, 4 << 20)).collect();
    layout(&format!("{test}/source"), &[Image::new(layers(50)), Image::new(layers(60))]);
    let (source, out) = (format!("oci:{test}/source"), format!("{test}/bundle"));
    packmule(&["export", &source, "-o", &out, "--sign", "k.pem"], 0);
}

#[test]
fn an_export_that_is_signalled_leaves_no_final_name() {
    prepare("sig-export");
    let name = |index: u32| format!("sig-export/{index}/b");
    let args = |index: u32| {
        std::fs::create_dir_all(dir().join(format!("sig-export/{index}"))).unwrap();
        words(&format!("export oci:sig-export/source -o {} --sign k.pem", name(index)))
    };
    let volume = |index: u32| std::fs::read(dir().join(format!("{}.0001.tar.zst", name(index)))).unwrap();
    let calm = std::fs::read(dir().join("sig-export/bundle.0001.tar.zst")).unwrap();
    any_time(
        args,
        |index| assert_eq!(finals(&name(index)), Vec::<String>::new()),
        |index| assert!(volume(index) == calm),
    );
}

#[test]
fn a_verify_that_is_signalled_says_nothing_good() {
    prepare("sig-verify");
    any_time(|_| words("verify sig-verify/bundle --key k.pub.pem"), |_| {}, |_| {});
}

#[test]
fn an_unpack_that_is_signalled_leaves_no_index() {
    prepare("sig-unpack");
    let folder = |index: u32| format!("sig-unpack/l{index}");
    let index_of = |index: u32| dir().join(folder(index)).join("index.json");
    any_time(
        |index| words(&format!("unpack sig-unpack/bundle --key k.pub.pem {}", folder(index))),
        |index| assert!(!index_of(index).exists()),
        |index| assert!(index_of(index).exists()),
    );
}

#[test]
fn an_import_that_is_signalled_sets_no_tag_before_all_is_there() {
    let (Some(host), Some(crane)) = (var("PACKMULE_TEST_DISTRIBUTION2"), var("PACKMULE_TEST_CRANE")) else { return };
    prepare("sig-import");
    let to = |index: u32| format!("{host}/{}", prefix(&format!("sig{index}")));
    any_time(
        |index| words(&format!("import sig-import/bundle --key k.pub.pem --to {}", to(index))),
        // The registry may have got one tag and not the other: whatever is tagged is complete.
        |_| {},
        |index| {
            for tag in [1, 2] {
                assert!(!manifest(&crane, &format!("{}/a/b:{tag}", to(index))).is_empty());
            }
        },
    );
}

#[test]
fn c2_two_imports_of_one_bundle_both_succeed() {
    let (Some(host), Some(crane)) = (var("PACKMULE_TEST_DISTRIBUTION2"), var("PACKMULE_TEST_CRANE")) else { return };
    prepare("two-imports");
    let to = format!("{host}/{}", prefix("two"));
    let args = ["import", "two-imports/bundle", "--key", "k.pub.pem", "--to", &to];
    let mut both: Vec<_> =
        (0..2).map(|_| command(&args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()).collect();
    assert!(both.iter_mut().all(|child| child.wait().unwrap().code() == Some(0)));
    assert!(!manifest(&crane, &format!("{to}/a/b:2")).is_empty());
}

/// Ctrl-C at the passphrase prompt ends the run, and the terminal echoes input again.
#[test]
fn an_interrupt_at_the_prompt_ends_the_run_and_leaves_the_terminal_as_it_was() {
    drop(fresh("prompt"));
    let run = r#""$P" key new -o prompt/k.pem; echo "ended with $?"; stty -a"#;
    let line = format!("(sleep 1; printf '\\003'; sleep 1) | script -qec '{run}' /dev/null");
    let ended = std::process::Command::new("sh")
        .args(["-c", &line])
        .env("P", env!("CARGO_BIN_EXE_packmule"))
        .current_dir(dir())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&ended.stdout);
    assert!(told.contains("ended with 130") && told.contains(" echo "), "{told}");
    assert_eq!(std::fs::read_dir(dir().join("prompt")).unwrap().count(), 0);
}
