//! README.md and docs/ as a reader uses them: each `console` block of the README and the quick start is run and its
//! output compared, and every relative link leads to a file and a heading that exist.

#![allow(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

#[cfg(feature = "demo-org")]
#[path = "support/skip.rs"]
mod skip;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every page that links are checked in, relative to the repository.
fn pages() -> Vec<PathBuf> {
    let mut pages =
        ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"].map(PathBuf::from).to_vec();
    let mut directories = vec![PathBuf::from("docs")];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(repository().join(&directory)).unwrap() {
            let entry = entry.unwrap();
            let path = directory.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path);
            }
        }
    }
    pages.sort();
    pages
}

fn read(page: &Path) -> String {
    fs::read_to_string(repository().join(page)).unwrap_or_else(|error| panic!("{}: {error}", page.display()))
}

/// A fenced block: its language and its lines.
struct Block {
    language: String,
    lines: Vec<String>,
}

/// A page's fenced blocks, and the text outside them.
fn blocks(text: &str) -> (Vec<Block>, String) {
    let (mut blocks, mut prose, mut open) = (Vec::new(), String::new(), None::<(usize, Block)>);
    for line in text.lines() {
        let indent = line.len() - line.trim_start().len();
        match (&mut open, line.trim_start().strip_prefix("```")) {
            (None, Some(language)) => {
                open = Some((indent, Block { language: language.trim().to_owned(), lines: Vec::new() }));
            }
            (Some(_), Some("")) => blocks.extend(open.take().map(|(_, block)| block)),
            (Some((indent, block)), _) => {
                block.lines.push(line.get(*indent..).unwrap_or_default().to_owned())
            }
            (None, None) => {
                prose.push_str(line);
                prose.push('\n');
            }
        }
    }
    assert!(open.is_none(), "a fenced block is never closed");
    (blocks, prose)
}

/// The name and the text of a `toml` block whose first line is a comment with a configuration file's name.
fn named_file(block: &Block) -> Option<(String, String)> {
    let name = block.lines.first()?.strip_prefix("# ")?;
    let is_file = block.language == "toml" && (name == "sfexport.toml" || name.starts_with("jobs/"));
    is_file.then(|| (name.to_owned(), block.lines.join("\n") + "\n"))
}

mod links {
    use super::*;

    /// The anchor that GitHub makes of a heading: lower case, without punctuation, hyphens for spaces.
    fn slug(heading: &str) -> String {
        let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect()
    }

    /// The anchors of a page; a heading that occurs again gets a number.
    fn anchors(text: &str) -> BTreeSet<String> {
        let mut seen = BTreeMap::<String, usize>::new();
        let headings = text.lines().filter(|line| line.starts_with('#'));
        headings
            .map(|line| {
                let slug = slug(line.trim_start_matches('#'));
                let count = seen.entry(slug.clone()).or_default();
                *count += 1;
                if *count == 1 { slug } else { format!("{slug}-{}", *count - 1) }
            })
            .collect()
    }

    /// The targets of the links and images in a text outside code.
    fn targets(prose: &str) -> Vec<String> {
        // What stands between backticks is code, and may look like a link.
        let text: String = prose.split('`').step_by(2).collect();
        let found = text.match_indices("](");
        found
            .filter_map(|(at, _)| text.get(at + 2..).and_then(|rest| rest.split_once(')')))
            .map(|(target, _)| target.to_owned())
            .collect()
    }

    /// Why a relative link leads nowhere; `None` where it leads somewhere, or to another site.
    fn mistake(page: &Path, target: &str) -> Option<String> {
        if target.contains("://") || target.starts_with("mailto:") {
            return None;
        }
        let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
        let path =
            if file.is_empty() { page.to_owned() } else { page.parent().unwrap_or(Path::new("")).join(file) };
        if !repository().join(&path).exists() {
            return Some(format!("{}: no such file: {target}", page.display()));
        }
        let known = anchor.is_empty()
            || path.extension().is_some_and(|extension| extension == "md")
                && anchors(&blocks(&read(&path)).1).contains(anchor);
        (!known).then(|| format!("{}: no such heading: {target}", page.display()))
    }

    #[test]
    fn every_relative_link_leads_to_a_file_and_a_heading() {
        let mut links = 0;
        let mut mistakes = Vec::new();
        for page in pages() {
            for target in targets(&blocks(&read(&page)).1) {
                links += 1;
                mistakes.extend(mistake(&page, &target));
            }
        }
        assert!(mistakes.is_empty(), "dead links:\n{}", mistakes.join("\n"));
        assert!(links > 50, "only {links} links were found");
    }

    #[test]
    fn every_page_can_be_reached_from_the_readme() {
        let mut reached = BTreeSet::new();
        let mut next = vec![PathBuf::from("README.md")];
        while let Some(page) = next.pop() {
            if !reached.insert(page.clone()) {
                continue;
            }
            let directory = page.parent().unwrap().to_owned();
            for target in targets(&blocks(&read(&page)).1) {
                let file = target.split('#').next().unwrap_or_default();
                let linked = normalized(&directory.join(file));
                if linked.extension().is_some_and(|extension| extension == "md") {
                    next.push(linked);
                }
            }
        }
        let decisions = Path::new("docs/decisions");
        let unreached: Vec<_> = pages()
            .into_iter()
            .filter(|page| !reached.contains(page) && !page.starts_with(decisions))
            .filter(|page| page != Path::new("CHANGELOG.md"))
            .collect();
        assert!(unreached.is_empty(), "no page links to {unreached:?}");
    }

    /// The path without `..`.
    fn normalized(path: &Path) -> PathBuf {
        let mut plain = PathBuf::new();
        for part in path.components() {
            match part {
                std::path::Component::ParentDir => {
                    plain.pop();
                }
                part => plain.push(part),
            }
        }
        plain
    }

    #[test]
    fn anchors_follow_githubs_rule() {
        assert_eq!(slug(" Grouped queries, functions, COUNT()"), "grouped-queries-functions-count");
        assert_eq!(slug(" A script around `sf data query`"), "a-script-around-sf-data-query");
        assert_eq!(anchors("# A b\ntext\n## A b\n"), BTreeSet::from(["a-b".to_owned(), "a-b-1".to_owned()]));
    }

    #[test]
    fn a_dead_link_and_a_dead_anchor_are_seen() {
        let page = Path::new("docs/setup.md");
        assert_eq!(mistake(page, "configuration.md"), None);
        assert_eq!(mistake(page, "https://example.com/x"), None);
        assert!(mistake(page, "configurations.md").unwrap().contains("no such file"));
        assert!(mistake(page, "../README.md#no-such-heading").unwrap().contains("no such heading"));
        assert_eq!(targets("see [a](b.md#c) and ![i](d.png), not `[e](f.md)`"), ["b.md#c", "d.png"]);
    }
}

mod examples {
    use std::process::Command;

    use super::*;

    /// An org for the examples that show none.
    const ORG: &str = "[org]\nclient_id = \"3MVG9...\"\nusername = \"integration@example.com\"\nkey_file = \"server.key\"\n";

    /// The files that a page shows in full, by name.
    fn files(page: &str) -> Vec<(String, String)> {
        blocks(page).0.iter().filter_map(named_file).collect()
    }

    fn sfexport(directory: &Path, arguments: &[&str]) -> (bool, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sfexport"));
        command.env_clear().env("PATH", directory.join("bin")).current_dir(directory).args(arguments);
        let ended = command.output().unwrap();
        let said = [ended.stdout, ended.stderr].concat();
        (ended.status.success(), String::from_utf8_lossy(&said).into_owned())
    }

    /// What `check --offline` says of a page's files, if it accepts them or if it does not.
    fn checked(page: &str) -> (bool, String) {
        let directory = tempfile::tempdir().unwrap();
        assert!(sfexport(directory.path(), &["keygen"]).0);
        fs::create_dir(directory.path().join("jobs")).unwrap();
        fs::write(directory.path().join("sfexport.toml"), ORG).unwrap();
        fs::create_dir(directory.path().join("bin")).unwrap();
        for (name, text) in files(page) {
            // Nobody has all the programs that the pages' commands name.
            if let Some(program) = text.split("after ").nth(1).and_then(|rest| rest.split('"').nth(1)) {
                let _ = std::os::unix::fs::symlink(
                    env!("CARGO_BIN_EXE_sfexport"),
                    directory.path().join("bin").join(program),
                );
            }
            let org = if name == "sfexport.toml" && !text.contains("[org]") { ORG } else { "" };
            fs::write(directory.path().join(name), format!("{text}{org}")).unwrap();
        }
        sfexport(directory.path(), &["check", "--offline"])
    }

    #[test]
    fn every_file_that_a_page_shows_is_accepted() {
        let mut shown = 0;
        for page in pages() {
            let text = read(&page);
            let files = files(&text);
            if files.is_empty() {
                continue;
            }
            shown += files.len();
            let (accepted, said) = checked(&text);
            assert!(accepted, "{}:\n{said}", page.display());
        }
        assert!(shown >= 10, "only {shown} files are shown");
    }

    /// The files that pages show under one name, but with different contents.
    fn conflicts<'a>(files: impl Iterator<Item = &'a (String, String, String)>) -> Vec<String> {
        let mut seen = BTreeMap::<&str, (&str, &str)>::new();
        let mut found = Vec::new();
        for (page, name, text) in files {
            let (other, known) = seen.entry(name).or_insert((page, text));
            if known != text {
                found.push(format!("{other} and {page} show different contents of {name}"));
            }
        }
        found
    }

    #[test]
    fn recipes_show_the_same_file_under_the_same_name() {
        let recipes = pages().into_iter().filter(|page| page.starts_with("docs/recipes"));
        let shown: Vec<_> = recipes
            .flat_map(|page| {
                let files = files(&read(&page)).into_iter();
                files.map(move |(name, text)| (page.display().to_string(), name, text))
            })
            // Each page shows only its part of sfexport.toml.
            .filter(|(_, name, _)| name != "sfexport.toml")
            .collect();
        assert!(shown.len() >= 6, "only {} job files are shown", shown.len());
        assert_eq!(conflicts(shown.iter()), Vec::<String>::new());

        let different =
            shown.first().map(|(_, name, _)| ("other.md".to_owned(), name.clone(), String::new()));
        assert_eq!(conflicts(shown.iter().chain(&different)).len(), 1);
    }

    #[test]
    fn a_misspelt_key_in_a_shown_file_is_seen() {
        let page = "```toml\n# jobs/a.toml\nsoql = \"SELECT Id FROM Account\"\noutpt = \"a.csv\"\n```\n";
        let (accepted, said) = checked(page);
        assert!(!accepted && said.contains("outpt"), "{said}");
    }
}

#[cfg(feature = "demo-org")]
mod console {
    use std::fs::File;
    use std::net::{TcpListener, TcpStream};
    use std::process::{Child, Command, Stdio};
    use std::time::{Duration, Instant};

    use super::*;

    /// The port that the pages name; a test uses a free one instead.
    const PORT: &str = "8642";

    /// How long one command may take.
    const COMMAND_TIMEOUT: Duration = Duration::from_secs(60);

    /// What a page has its reader do.
    #[derive(Debug)]
    enum Step {
        /// Save this text under this name.
        Save { path: String, text: String },
        /// Run this, and see these lines.
        Run { command: String, output: Vec<String> },
    }

    /// The steps of a page in their order: `console` blocks, and `toml` blocks whose first line names their file.
    fn steps(page: &str) -> Vec<Step> {
        let mut steps = Vec::new();
        for block in blocks(page).0 {
            match block.language.as_str() {
                "console" => {
                    for line in block.lines {
                        match (line.strip_prefix("$ "), steps.last_mut()) {
                            (Some(command), _) => {
                                steps.push(Step::Run { command: command.to_owned(), output: Vec::new() });
                            }
                            (None, Some(Step::Run { output, .. })) => output.push(line),
                            (None, _) => panic!("output before a command: {line}"),
                        }
                    }
                }
                _ => {
                    steps.extend(named_file(&block).map(|(path, text)| Step::Save { path, text }));
                }
            }
        }
        steps
    }

    /// Whether a line fits a pattern, in which `...` stands for any text.
    fn line_fits(pattern: &str, line: &str) -> bool {
        let mut parts = pattern.trim_end().split("...");
        let Some(mut rest) = line.trim_end().strip_prefix(parts.next().unwrap_or_default()) else {
            return false;
        };
        let parts: Vec<_> = parts.collect();
        let Some((last, between)) = parts.split_last() else { return rest.is_empty() };
        for part in between {
            match rest.split_once(part) {
                Some((_, behind)) => rest = behind,
                None => return false,
            }
        }
        rest.ends_with(last)
    }

    /// How many lines of the output a page's lines take, where a line of `...` stands for any number of them: every
    /// possible number, and the line of the page that no longer fits where there is none.
    fn fits(patterns: &[String], lines: &[&str]) -> Result<BTreeSet<usize>, String> {
        let mut taken = BTreeSet::from([0]);
        for pattern in patterns {
            taken = if pattern.trim() == "..." {
                (*taken.first().unwrap_or(&0)..=lines.len()).collect()
            } else {
                let fitting = |at: &usize| lines.get(*at).is_some_and(|line| line_fits(pattern, line));
                taken.iter().filter(|at| fitting(at)).map(|at| at + 1).collect()
            };
            if taken.is_empty() {
                return Err(pattern.clone());
            }
        }
        Ok(taken)
    }

    /// A word that a POSIX shell takes as it is.
    fn quoted(text: &str) -> String {
        format!("'{}'", text.replace('\'', r"'\''"))
    }

    /// The lines that are left on a screen: without those that were cleared and written again, as progress is.
    fn on_screen(said: &str) -> String {
        let lines = said.lines().map(|line| {
            let last = line.rsplit("\x1b[2K").next().unwrap_or_default();
            last.trim_end_matches('\r').rsplit('\r').next().unwrap_or_default().to_owned() + "\n"
        });
        lines.collect()
    }

    /// A reader's directory, and what was left running there.
    struct Reader {
        directory: tempfile::TempDir,
        port: String,
        org: Option<Child>,
        daemon: Option<Child>,
    }

    impl Reader {
        fn new() -> Self {
            // Free for the moment in which the org takes it.
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
            Self { directory: tempfile::tempdir().unwrap(), port, org: None, daemon: None }
        }

        fn take(&mut self, step: &Step) {
            match step {
                Step::Save { path, text } => {
                    let path = self.directory.path().join(path);
                    fs::create_dir_all(path.parent().unwrap()).unwrap();
                    fs::write(path, text).unwrap();
                }
                Step::Run { command, output } => {
                    self.stop_daemon();
                    let command = command.replace(PORT, &self.port);
                    let output: Vec<_> = output.iter().map(|line| line.replace(PORT, &self.port)).collect();
                    if command.starts_with("sfexport demo --serve") {
                        self.org = Some(self.started(&command, &output));
                        self.wait_for_the_org();
                    } else if command.starts_with("sfexport daemon") {
                        self.daemon = Some(self.started(&command, &output));
                    } else {
                        self.run(&command, &output);
                    }
                }
            }
        }

        fn shell(&self, command: &str) -> Command {
            let binaries = Path::new(env!("CARGO_BIN_EXE_sfexport")).parent().unwrap();
            let path = format!("{}:{}", binaries.display(), std::env::var("PATH").unwrap());
            let mut shell = Command::new("sh");
            shell.args(["-c", command]).current_dir(self.directory.path()).stdin(Stdio::null());
            shell.env_clear().env("PATH", path);
            shell
        }

        /// Runs a command to its end on a terminal, where a reader sees it, and compares what stays on the screen.
        fn run(&self, command: &str, output: &[String]) {
            let line = format!("stty cols 100; timeout {} {command}", COMMAND_TIMEOUT.as_secs());
            let mut terminal = self.shell(&format!("script -qec {} /dev/null", quoted(&line)));
            let ended = terminal.env("TERM", "xterm").env("NO_COLOR", "1").output().unwrap();
            let said = String::from_utf8(ended.stdout).unwrap() + &String::from_utf8(ended.stderr).unwrap();
            let shown = on_screen(&said);
            let shows_failure = output.iter().any(|line| line.starts_with("error:"));
            assert_eq!(!ended.status.success(), shows_failure, "$ {command}\n{shown}");
            let lines: Vec<_> = shown.lines().collect();
            match fits(output, &lines) {
                Ok(taken) if taken.contains(&lines.len()) => {}
                Ok(_) => panic!("$ {command}\nprints more than the page shows:\n{shown}"),
                Err(line) => {
                    panic!("$ {command}\nthis line of the page does not fit: {line}\n{shown}")
                }
            }
        }

        /// Starts a command that keeps running, and waits until it has printed what the page shows.
        fn started(&self, command: &str, output: &[String]) -> Child {
            let log = self.directory.path().join(".log");
            let file = File::create(&log).unwrap();
            let mut shell = self.shell(&format!("exec {command}"));
            let mut child = shell.stdout(file.try_clone().unwrap()).stderr(file).spawn().unwrap();
            let deadline = Instant::now() + COMMAND_TIMEOUT;
            loop {
                let text = fs::read_to_string(&log).unwrap();
                let lines: Vec<_> = text.lines().collect();
                let Err(line) = fits(output, &lines) else { return child };
                if Instant::now() > deadline || child.try_wait().unwrap().is_some() {
                    let _ = child.kill();
                    panic!("$ {command}\nthis line of the page does not come: {line}\n{text}");
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }

        fn wait_for_the_org(&self) {
            let deadline = Instant::now() + COMMAND_TIMEOUT;
            while TcpStream::connect(format!("127.0.0.1:{}", self.port)).is_err() {
                assert!(Instant::now() < deadline, "the org takes no connection");
                std::thread::sleep(Duration::from_millis(20));
            }
        }

        /// What Ctrl-C does.
        fn stop_daemon(&mut self) {
            if let Some(mut daemon) = self.daemon.take() {
                let sent = Command::new("kill").args(["-INT", &daemon.id().to_string()]).status().unwrap();
                assert!(sent.success());
                assert_eq!(daemon.wait().unwrap().code(), Some(0), "the daemon's exit status");
            }
        }
    }

    impl Drop for Reader {
        fn drop(&mut self) {
            for mut child in [self.daemon.take(), self.org.take()].into_iter().flatten() {
                let _ = child.kill();
                let _ = child.wait();
            }
        }
    }

    fn follow(page: &str, at_least: usize) {
        let steps = steps(&read(Path::new(page)));
        let commands = steps.iter().filter(|step| matches!(step, Step::Run { .. })).count();
        assert!(commands >= at_least, "{page} has only {commands} commands");
        let script = Command::new("script").arg("--version").output();
        if !script.is_ok_and(|version| String::from_utf8_lossy(&version.stdout).contains("util-linux")) {
            return skip::skip("no terminal can be had without `script` of util-linux");
        }
        let mut reader = Reader::new();
        for step in &steps {
            reader.take(step);
        }
        reader.stop_daemon();
    }

    #[test]
    fn the_readme_works_as_it_is_written() {
        follow("README.md", 6);
    }

    #[test]
    fn the_quick_start_works_as_it_is_written() {
        follow("docs/quick-start.md", 12);
    }

    #[test]
    fn output_is_compared_line_by_line() {
        let page = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        let whole = |patterns: &str, lines: &[&str]| {
            fits(&page(patterns), lines).is_ok_and(|taken| taken.contains(&lines.len()))
        };
        assert!(whole("a\n...\nd", &["a", "b", "c", "d"]));
        assert!(whole("a\n...", &["a"]));
        assert!(!whole("a", &["a", "b"]));
        assert!(!whole("a\nb", &["a"]));
        assert!(whole("a ... c", &["a b c"]));
        assert!(!whole("a ... c", &["a b d"]));
        assert!(whole("...x...", &["1x2"]));
        assert!(!whole("...x", &["1x2"]));
        assert_eq!(fits(&page("a\nb"), &["a", "c"]), Err("b".to_owned()));
    }

    #[test]
    fn a_page_that_shows_another_number_fails() {
        let page = "```console\n$ echo 4948 records\n4947 records\n```\n";
        let wrong = std::panic::catch_unwind(|| {
            let mut reader = Reader::new();
            steps(page).iter().for_each(|step| reader.take(step));
        });
        assert!(wrong.is_err());
    }
}

/// docs/faults.md and the README's exit statuses against what the code does.
mod faults {
    use sfexport::error::Exit;
    use sfexport::retry::{Attempts, Decision, RetryPolicy};
    use sfexport::salesforce::fault::{Fault, FaultKind};

    use super::{Path, read};

    /// The cells of each row of a page's tables.
    fn rows_of(page: &str) -> Vec<Vec<String>> {
        let page = read(Path::new(page));
        let rows = page.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix('|'));
        let cells = |row: &str| row.split('|').map(|cell| cell.trim().to_owned()).collect();
        rows.filter(|row| !row.starts_with("---")).map(cells).collect()
    }

    fn rows() -> Vec<Vec<String>> {
        rows_of("docs/faults.md")
    }

    /// Every status, one after the other: a new one has to be given a place.
    fn following(exit: Option<Exit>) -> Option<Exit> {
        match exit {
            None => Some(Exit::Success),
            Some(Exit::Success) => Some(Exit::General),
            Some(Exit::General) => Some(Exit::Usage),
            Some(Exit::Usage) => Some(Exit::Query),
            Some(Exit::Query) => Some(Exit::Unavailable),
            Some(Exit::Unavailable) => Some(Exit::After),
            Some(Exit::After) => Some(Exit::Output),
            Some(Exit::Output) => Some(Exit::Incomplete),
            Some(Exit::Incomplete) => Some(Exit::TryLater),
            Some(Exit::TryLater) => Some(Exit::Login),
            Some(Exit::Login) => Some(Exit::Configuration),
            Some(Exit::Configuration) => Some(Exit::Interrupted),
            Some(Exit::Interrupted) => Some(Exit::Terminated),
            Some(Exit::Terminated) => None,
        }
    }

    /// Every kind of fault with how its row begins.
    fn following_kind(kind: Option<FaultKind>) -> Option<(FaultKind, &'static str)> {
        use FaultKind as K;
        let Some(kind) = kind else { return Some((K::Unreachable, "no connection")) };
        match kind {
            K::Unreachable => Some((K::Unavailable, "the org cannot respond now")),
            K::Unavailable => Some((K::Truncated, "the response is cut short")),
            K::Truncated => Some((K::InvalidResponse, "the response is complete but cannot be right")),
            K::InvalidResponse => Some((K::Miscount, "the number of records is not what the org counted")),
            K::Miscount => Some((K::LocatorExpired, "the query's result expired")),
            K::LocatorExpired => Some((K::LoginRefused, "the login is refused")),
            K::LoginRefused => Some((K::AnotherOrg, "the login reaches another org")),
            K::AnotherOrg => Some((K::SessionExpired, "the session ends during the run")),
            K::SessionExpired => Some((K::SessionRejected, "the session or the user may not use the API")),
            K::SessionRejected => Some((K::QueryRefused, "the org refuses the query")),
            K::QueryRefused => Some((K::QueryTimeout, "the query takes too long")),
            K::QueryTimeout => Some((K::QueryTooLong, "the query has more than 100,000 characters")),
            K::QueryTooLong => Some((K::Limit, "the org's daily API requests are used up")),
            K::Limit => Some((K::Configuration, "the org does not have `api_version`")),
            K::Configuration => None,
        }
    }

    #[test]
    fn every_exit_status_is_on_the_page_with_its_retry() {
        let rows = rows();
        let mut found = Vec::new();
        let mut exit = following(None);
        while let Some(this) = exit {
            let row = rows.iter().find(|row| row[0] == this.code().to_string());
            let row = row.unwrap_or_else(|| panic!("docs/faults.md has no row for status {}", this.code()));
            let worth = match this {
                Exit::Success => "",
                exit if exit.worth_a_retry() => "yes",
                _ => "no",
            };
            assert_eq!((row.len(), row[2].as_str()), (4, worth), "status {}", this.code());
            found.push(this.code().to_string());
            exit = following(exit);
        }
        let on_page = rows.iter().map(|row| &row[0]).filter(|cell| cell.parse::<u8>().is_ok());
        assert_eq!(on_page.collect::<Vec<_>>(), found.iter().collect::<Vec<_>>());
    }

    #[test]
    fn the_readme_says_which_exit_statuses_are_worth_a_retry() {
        // The README needs no advice about successes and signals.
        let without_advice = [Exit::Success, Exit::Interrupted, Exit::Terminated];
        let rows = rows_of("README.md");
        let mut found = 0;
        let mut exit = following(None);
        while let Some(this) = exit {
            exit = following(exit);
            if without_advice.contains(&this) {
                continue;
            }
            let row = rows.iter().find(|row| row[0] == this.code().to_string());
            let row = row.unwrap_or_else(|| panic!("README.md has no row for status {}", this.code()));
            let worth = if this.worth_a_retry() { "yes" } else { "no" };
            assert_eq!((row.len(), row[2].as_str()), (3, worth), "status {}", this.code());
            found += 1;
        }
        assert_eq!(found, 10);
    }

    #[test]
    fn every_kind_of_fault_is_on_the_page_with_its_status() {
        let rows = rows();
        let policy = RetryPolicy {
            attempts: 5,
            wait_min: std::time::Duration::ZERO,
            wait_max: std::time::Duration::ZERO,
        };
        let mut kind = following_kind(None);
        while let Some((this, begins)) = kind {
            let mut matching = rows.iter().filter(|row| row[0].starts_with(begins));
            let (Some(row), None) = (matching.next(), matching.next()) else {
                panic!("docs/faults.md has not one row for {this:?}, {begins:?}");
            };
            let fault = Fault::new(this, "");
            let mut attempts = Attempts::default();
            let mut sent = 1;
            while let Decision::Wait(_) = attempts.after(&fault, &policy, 0.0) {
                sent += 1;
            }
            assert_eq!(row[2], fault.into_failure().exit.code().to_string(), "{this:?}");
            // "again" stands for all attempts.
            assert_eq!(
                (row[1] == "again", row[1] == "tries once more"),
                (sent == 5, sent == 2),
                "{this:?}: {row:?}"
            );
            kind = following_kind(Some(this));
        }
    }
}
