//! Response smuggling and queue poisoning: every line of `corpus/responses.txt` against the binary.
//!
//! Client A's request makes the origin answer as the line says; then clients B and C ask for `/victim` on connections of their
//! own, and must get their own answers, whatever the origin had sent before. Each line is tried in four forms (a test
//! each, `ID::form`): the origin answers in one write (`whole`), one octet a write (`octets`), cut between every CR and
//! LF (`line_ends`), and in one write `after` a good exchange on the same connections; some of them over TLS too, to the
//! client or to the origin.

mod support;

use std::{
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use libtest_mimic::{Arguments, Failed, Trial};

use support::{
    Client, Connection, Event, Origin, Response,
    back::Serving,
    corpus::{self, Cut},
    message::{self, Parsed},
    poll_until, show,
    tls::{Authority, Over, Way},
};

fn main() -> ExitCode {
    let mut trials = Vec::new();
    for line in corpus::load("responses.txt") {
        let case = Arc::new(Case::of(&line));
        for (form, over) in [
            (Form::Whole, Over::Plain),
            (Form::Octets, Over::Plain),
            (Form::LineEnds, Over::Plain),
            (Form::After, Over::Plain),
            (Form::Whole, Over::Tls),
            (Form::Whole, Over::TlsToApp),
            (Form::Octets, Over::TlsToApp),
            (Form::After, Over::TlsToApp),
        ] {
            let case = Arc::clone(&case);
            let name = format!("{}::{}{}", case.id, over.prefix(), form.name());
            trials.push(Trial::test(name, move || {
                let outcome = Case::run(&case, form, over);
                outcome.map_err(|why| {
                    Failed::from(format!("{}: {why}\n  note: {}", case.expect, case.note))
                })
            }));
        }
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Form {
    Whole,
    Octets,
    LineEnds,
    After,
}

impl Form {
    fn name(self) -> &'static str {
        match self {
            Form::Whole => "whole",
            Form::Octets => "octets",
            Form::LineEnds => "line_ends",
            Form::After => "after",
        }
    }

    fn cut(self) -> Cut {
        match self {
            Form::Whole | Form::After => Cut::Whole,
            Form::Octets => Cut::Octets,
            Form::LineEnds => Cut::LineEnds,
        }
    }
}

/// When the origin answers and whether it closes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Stays,
    Closes,
    AnswersEarly,
}

struct Case {
    id: String,
    expect: String,
    mode: Mode,
    request: Vec<u8>,
    /// What is sent at once, and what only after client A has its answer.
    response: Vec<Vec<u8>>,
    note: String,
}

const VICTIM: &str = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nVICTIM";
const GOOD: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nGOOD";

impl Case {
    fn of(line: &[String]) -> Case {
        let [id, expect, mode, request, response, note] = line else {
            panic!("a line of responses.txt has six fields: {line:?}")
        };
        let mode = match mode.as_str() {
            "-" => Mode::Stays,
            "close" => Mode::Closes,
            "early" => Mode::AnswersEarly,
            _ => panic!("unknown mode in responses.txt: {mode}"),
        };
        Case {
            id: id.clone(),
            expect: expect.clone(),
            mode,
            request: corpus::bytes(request),
            response: response.split("\\P").map(corpus::bytes).collect(),
            note: note.clone(),
        }
    }

    fn run(case: &Arc<Case>, form: Form, over: Over) -> Result<(), String> {
        let (a_is_done, all_is_sent) = (Event::new(), Event::new());
        let sent = Arc::new(AtomicU64::new(0));
        let origin = Origin::start({
            let (case, a_is_done, all_is_sent) =
                (Arc::clone(case), a_is_done.clone(), all_is_sent.clone());
            let sent = Arc::clone(&sent);
            let poisoned = AtomicUsize::new(0);
            move |connection| {
                case.serve(connection, form, &poisoned, &a_is_done, &sent, &all_is_sent)
            }
        });
        let secured = || Serving::of(&Authority::new("nobody's").server(&["app"]));
        let back = (over == Over::TlsToApp).then(|| secured().before(origin.port()));
        let target = match &back {
            None => origin.port().to_string(),
            Some(back) => format!(
                "\"https://127.0.0.1:{}\"\nupstream_tls.verify = false",
                back.port()
            ),
        };
        let hotgate = Way::open(over, |key, tls| {
            format!("[sites.{key:?}]\nto = {target}\n{tls}")
        });
        let mut a = Client::connect(hotgate.address());
        if form == Form::After {
            let good = a.get("/good");
            expect(good.text() == "GOOD", || {
                format!("the good exchange got {}", good.status)
            })?;
        }
        a.send(&case.request);
        let answer = read_answer(&mut a, case.request.starts_with(b"HEAD "))?;
        a_is_done.set();
        all_is_sent.wait("the origin to send its whole answer");
        if let Some(back) = &back {
            poll_until("all of it to be on its way", || {
                (back.passed() >= sent.load(Ordering::SeqCst)).then_some(())
            });
        }

        for name in ["B", "C"] {
            let mut victim = Client::connect(hotgate.address());
            let response =
                victim.ask("GET /victim HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n");
            let rest = victim.rest();
            expect(
                response.status == 200 && response.text() == "VICTIM" && rest.is_empty(),
                || {
                    format!(
                        "client {name} got {} {:?} and {}",
                        response.status,
                        response.text(),
                        show(&rest)
                    )
                },
            )?;
        }
        // What is left for A by now must not come at all.
        a.half_close();
        let mut rest = answer.rest.clone();
        while a.read_more(&mut rest)? {}
        hotgate.stop();
        for record in origin.finish() {
            let (requests, _) = message::requests(&record.bytes)?;
            expect(
                requests
                    .iter()
                    .all(|request| !request.target.contains("EVIL")),
                || "EVIL came back as a request".to_owned(),
            )?;
        }
        case.judge(form, &Answer { rest, ..answer })
    }

    /// One connection of the origin.
    fn serve(
        &self,
        connection: &mut Connection,
        form: Form,
        poisoned: &AtomicUsize,
        a_is_done: &Event,
        sent: &AtomicU64,
        all_is_sent: &Event,
    ) {
        loop {
            let request = match self.mode {
                Mode::AnswersEarly if poisoned.load(Ordering::SeqCst) == 0 => {
                    connection.read_head()
                }
                Mode::AnswersEarly | Mode::Stays | Mode::Closes => connection.read_request(),
            };
            let Some(request) = request else { return };
            let is_first_a = request.target == "/a" && poisoned.fetch_add(1, Ordering::SeqCst) == 0;
            let answer = match request.target.as_str() {
                "/good" => GOOD,
                _ => VICTIM,
            };
            if !is_first_a {
                if !connection.send(answer) {
                    return;
                }
                sent.fetch_add(answer.len() as u64, Ordering::SeqCst);
                continue;
            }
            for (index, part) in self.response.iter().enumerate() {
                if index > 0 {
                    a_is_done.wait("client A to have its answer");
                }
                for piece in form.cut().pieces(part) {
                    // Hotgate may well have heard enough.
                    if !connection.send(piece) {
                        break;
                    }
                    sent.fetch_add(piece.len() as u64, Ordering::SeqCst);
                }
            }
            if self.mode == Mode::Closes {
                connection.close();
            }
            all_is_sent.set();
            if self.mode != Mode::Stays {
                return;
            }
        }
    }

    fn judge(&self, form: Form, answer: &Answer) -> Result<(), String> {
        let statuses: Vec<u16> = answer
            .finals
            .iter()
            .map(|response| response.status)
            .collect();
        // A GET that got nothing at all from a connection used before is asked again on a new one.
        let was_retried =
            form == Form::After && self.response.concat().is_empty() && statuses == [200];
        for condition in self.expect.split(',') {
            match condition {
                "A200" => expect(statuses == [200] && answer.is_clean(), || {
                    format!("A got {}", answer.show())
                })?,
                "A1" => expect(statuses.len() == 1 && answer.is_clean(), || {
                    format!("A got {}", answer.show())
                })?,
                "A502" => expect(was_retried || matches!(statuses[..], [502 | 504]), || {
                    format!("A got {}", answer.show())
                })?,
                "A101no" => expect(!answer.interim.contains(&101), || {
                    "A got a 101 that it did not ask for".to_owned()
                })?,
                "Atrunc" => expect(answer.is_cut_short, || {
                    format!("A saw no abort: {}", answer.show())
                })?,
                "AnoEVIL" => expect(!answer.has_evil(), || {
                    format!("A got EVIL: {}", answer.show())
                })?,
                _ => panic!("unknown condition in responses.txt: {condition}"),
            }
        }
        Ok(())
    }
}

/// What client A got.
struct Answer {
    interim: Vec<u16>,
    finals: Vec<Response>,
    /// The connection ended inside a response.
    is_cut_short: bool,
    /// Octets that belong to no response.
    rest: Vec<u8>,
}

impl Answer {
    fn is_clean(&self) -> bool {
        !self.is_cut_short && self.rest.is_empty()
    }

    fn has_evil(&self) -> bool {
        let has = |bytes: &[u8]| bytes.windows(4).any(|window| window == b"EVIL");
        has(&self.rest)
            || self.finals.iter().any(|response| {
                has(&response.body)
                    || response
                        .fields
                        .0
                        .iter()
                        .any(|(name, value)| format!("{name}{value}").contains("EVIL"))
            })
    }

    fn show(&self) -> String {
        let statuses: Vec<u16> = self.finals.iter().map(|response| response.status).collect();
        let bodies: Vec<String> = self.finals.iter().map(Response::text).collect();
        format!(
            "{statuses:?} {bodies:?}, cut short: {}, rest: {}",
            self.is_cut_short,
            show(&self.rest)
        )
    }
}

/// Reads until one final response or the end of the connection.
fn read_answer(client: &mut Client, to_head: bool) -> Result<Answer, String> {
    let mut answer = Answer {
        interim: Vec::new(),
        finals: Vec::new(),
        is_cut_short: false,
        rest: Vec::new(),
    };
    loop {
        let at_end = !client.read_more(&mut answer.rest)?;
        while !answer.rest.is_empty() {
            match message::parse_response(&answer.rest, to_head, at_end) {
                Parsed::Complete(response, length) => {
                    answer.rest.drain(..length);
                    if response.status >= 200 {
                        answer.finals.push(response);
                    } else {
                        answer.interim.push(response.status);
                    }
                }
                Parsed::Incomplete => {
                    if at_end {
                        answer.is_cut_short = true;
                        answer.rest.clear();
                    }
                    break;
                }
                Parsed::Malformed(why) => {
                    return Err(format!(
                        "malformed response: {why}\n  in {}",
                        show(&answer.rest)
                    ));
                }
            }
        }
        if at_end || !answer.finals.is_empty() {
            return Ok(answer);
        }
    }
}

fn expect(is_so: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if is_so { Ok(()) } else { Err(what()) }
}
