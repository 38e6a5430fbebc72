//! Words that people bring along from other proxies' command lines, answered with ours.

/// A word in the place of the verb: what is said of it, and what to type.
struct Habit {
    theirs: &'static [&'static str],
    whose: &'static str,
    says: &'static str,
    mend: &'static str,
}

const HABITS: [Habit; 14] = [
    Habit {
        theirs: &["-t", "-T"],
        whose: "nginx",
        says: "tests the configuration with -t",
        mend: "hotgate check (--dump prints what is in force)",
    },
    Habit {
        theirs: &["validate"],
        whose: "Caddy",
        says: "tests the configuration with validate",
        mend: "hotgate check",
    },
    Habit {
        theirs: &["configtest"],
        whose: "Apache",
        says: "tests the configuration with configtest",
        mend: "hotgate check",
    },
    Habit {
        theirs: &["test", "lint", "verify"],
        whose: "others",
        says: "test the configuration with it",
        mend: "hotgate check",
    },
    Habit {
        theirs: &["adapt"],
        whose: "Caddy",
        says: "prints its configuration as JSON with adapt",
        mend: "hotgate check --dump",
    },
    Habit {
        theirs: &["start"],
        whose: "Caddy",
        says: "starts in the background with start",
        mend: "systemctl start hotgate, or hotgate run in the foreground",
    },
    Habit {
        theirs: &["stop", "quit"],
        whose: "Caddy",
        says: "stops with stop",
        mend: "systemctl stop hotgate, or SIGTERM; it finishes what is under way",
    },
    Habit {
        theirs: &["restart"],
        whose: "others",
        says: "restart with it",
        mend: "systemctl restart hotgate",
    },
    Habit {
        theirs: &["-s"],
        whose: "nginx",
        says: "sends signals with -s",
        mend: "systemctl stop hotgate, or kill with SIGTERM; SIGUSR1 opens the access log anew",
    },
    Habit {
        theirs: &["reverse-proxy"],
        whose: "Caddy",
        says: "proxies without a file with reverse-proxy",
        mend: "hotgate quick HOST TARGET",
    },
    Habit {
        theirs: &["-f", "--config-file", "--configFile"],
        whose: "HAProxy",
        says: "names its file with -f",
        mend: "hotgate run -c FILE",
    },
    Habit {
        theirs: &["environ", "build-info", "list-modules"],
        whose: "Caddy",
        says: "tells of itself with it",
        mend: "hotgate version -v",
    },
    Habit {
        theirs: &["serve", "up", "server", "daemon"],
        whose: "others",
        says: "serve with it",
        mend: "hotgate run",
    },
    Habit {
        theirs: &["config", "dump", "show"],
        whose: "others",
        says: "print the configuration with it",
        mend: "hotgate check --dump",
    },
];

/// Verbs that a later version has.
const LATER: [&str; 17] = [
    "add",
    "discover",
    "drain",
    "file-server",
    "fmt",
    "hash-password",
    "import",
    "log",
    "log-level",
    "reload",
    "remove",
    "reopen",
    "status",
    "support-dump",
    "top",
    "tune",
    "upgrade",
];

/// What is said of a word that stands where the verb should, if it is one of these.
pub(super) fn answer(word: &str) -> Option<String> {
    if LATER.contains(&word) {
        return Some(format!(
            "error: `hotgate {word}` is not in this version\n  = try: hotgate --help"
        ));
    }
    let habit = HABITS.iter().find(|habit| habit.theirs.contains(&word))?;
    Some(format!(
        "error: `{word}` is not a hotgate command: {} {}\n  = try: {}",
        habit.whose, habit.says, habit.mend
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_habit_is_answered_with_our_word() {
        for (theirs, ours) in [
            ("-t", "hotgate check"),
            ("validate", "hotgate check"),
            ("configtest", "hotgate check"),
            ("adapt", "check --dump"),
            ("start", "systemctl start hotgate"),
            ("stop", "systemctl stop hotgate"),
            ("reload", "not in this version"),
        ] {
            let answer = answer(theirs).expect("the row is a habit");
            assert!(answer.contains(ours), "{theirs}: {answer}");
        }
        for ours in ["run", "check", "quick", "explain", "-c", "--help", "x"] {
            assert_eq!(answer(ours), None, "{ours}");
        }
    }
}
