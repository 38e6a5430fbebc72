//! Request smuggling: every line of `corpus/requests.txt` against the binary, judged by what the *origin* received.
//!
//! Each line is tried in five forms (a test each, `ID::form`): `whole` in one write, one octet a write (`octets`), cut
//! between every CR and LF (`line_ends`), `after` a good request's answer on the same connection, and `behind` a
//! good request in the same write. Three of these come over TLS too (`ID::tls_FORM`); one octet a write is then one a
//! record. A fresh hotgate and a fresh origin serve each test. At its end a sentinel request proves that hotgate still
//! serves, hotgate is killed, and the origin's connections are read to their ends: what is in the records then is all
//! that ever reached it.

mod support;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};

use support::{
    Client, Origin, Request, Response,
    corpus::{self, Cut},
    message::{self, Parsed},
    show,
    tls::{Over, Way},
};

fn main() -> ExitCode {
    let mut trials = Vec::new();
    for line in corpus::load("requests.txt") {
        let case = Case::of(&line);
        for (form, over) in [
            (Form::Whole, Over::Plain),
            (Form::Octets, Over::Plain),
            (Form::LineEnds, Over::Plain),
            (Form::After, Over::Plain),
            (Form::Behind, Over::Plain),
            (Form::Whole, Over::Tls),
            (Form::Octets, Over::Tls),
            (Form::Behind, Over::Tls),
        ] {
            let case = case.clone();
            let name = format!("{}::{}{}", case.id, over.prefix(), form.name());
            trials.push(Trial::test(name, move || {
                case.run(form, over).map_err(|why| {
                    Failed::from(format!("{}: {why}\n  note: {}", case.expect, case.note))
                })
            }));
        }
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// What has to arrive at the origin, where something may: the alternatives, each a list of method, target, body.
#[rustfmt::skip]
const ARRIVES: &[(&str, &[Arrival])] = &[
    ("FR-22", &[&[("POST", "/", "hello")]]),
    ("FR-26", &[&[("POST", "/", "")]]),
    ("FR-42", &[&[("POST", "/", "hello")], REFUSED]),
    ("FR-48", &[&[("GET", "/", "hello")]]),
    ("FR-49", &[&[("POST", "/", "GET /evil HTTP/1.1\r\nHost: a.test\r\nX: y"), ("GET", "/b", "")]]),
    ("FR-50", &[&[("GET", "/", "GET /evil HTTP/1.1\r\nHost: a.test\r\n\r\n")], REFUSED]),
    ("FR-52", &[&[("POST", "/", "")]]),
    ("CH-10", &[&[("POST", "/", "hello")]]),
    ("CH-19", &[&[("POST", "/", "hello")]]),
    ("CH-22", &[&[("POST", "/", "hello")]]),
    ("CH-30", &[&[("POST", "/", "")]]),
    ("LN-06", &[&[("GET", "/", "")]]),
    ("LN-36", &[&[("GET", "/", "")]]),
    ("LN-39", &[&[("GET", "/", "")]]),
    ("LN-41", &[&[("POST", "/", "hello")]]),
    ("HO-14", &[&[("GET", "/", "")]]),
    ("HO-15", &[&[("GET", "/x", "")]]),
    ("HB-01", &[&[("GET", "/", "")]]),
    ("HB-02", &[&[("GET", "/", "")]]),
    ("HB-03", &[&[("GET", "/", "")]]),
    ("HB-06", &[&[("GET", "/", "")]]),
    ("HB-07", &[&[("GET", "/", "")]]),
    // The origin declines the upgrade: what was sent behind it is a request of its own, or the connection is over.
    ("HB-09", &[&[("GET", "/", "")], &[("GET", "/", ""), ("GET", "/evil", "")]]),
    ("HB-11", &[&[("POST", "/", "hello")]]),
    ("HB-14", &[&[("GET", "/", ""), ("GET", "/b", "")]]),
    ("HB-15", &[&[("GET", "/", "")]]),
    ("HB-17", &[&[("HEAD", "/", ""), ("GET", "/b", "")]]),
    ("PA-01", &[&[("GET", "/b", "")]]),
    ("PA-06", &[&[("GET", "/a%2fb", "")]]),
    ("PA-07", &[&[("GET", "/a%252e%252e/b", "")]]),
    ("PA-09", &[&[("GET", "/%0d%0aSet-Cookie:x", "")], REFUSED]),
    ("AM-20", &[&[("GET", "/adminx", "")]]),
    ("AM-21", &[&[("GET", "/x?/admin;y/..%2f", "")]]),
];

/// Requests in order, each its method, target and body.
type Arrival = &'static [(&'static str, &'static str, &'static str)];

/// Nothing arrives; hotgate answers 4xx.
const REFUSED: Arrival = &[];

/// The good request before or in front of a case.
const GOOD: &str = "GET /good HTTP/1.1\r\nHost: a.test\r\n\r\n";

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Form {
    Whole,
    Octets,
    LineEnds,
    After,
    Behind,
}

impl Form {
    fn name(self) -> &'static str {
        match self {
            Form::Whole => "whole",
            Form::Octets => "octets",
            Form::LineEnds => "line_ends",
            Form::After => "after",
            Form::Behind => "behind",
        }
    }

    fn cut(self) -> Cut {
        match self {
            Form::Whole | Form::After | Form::Behind => Cut::Whole,
            Form::Octets => Cut::Octets,
            Form::LineEnds => Cut::LineEnds,
        }
    }

    fn has_good_request(self) -> bool {
        matches!(self, Form::After | Form::Behind)
    }
}

#[derive(Clone)]
struct Case {
    id: String,
    expect: String,
    bytes: Vec<u8>,
    note: String,
    arrives: &'static [Arrival],
}

/// What both sides saw.
struct Seen {
    /// Final responses to the case alone.
    finals: Vec<Response>,
    /// Octets to the client that are no response.
    rest: Vec<u8>,
    /// Requests at the origin for the case alone.
    arrived: Vec<Request>,
    /// The start of a request at the origin that never became whole.
    unfinished: Vec<u8>,
}

impl Case {
    fn of(line: &[String]) -> Case {
        let [id, expect, bytes, note] = line else {
            panic!("a line of requests.txt has four fields: {line:?}")
        };
        let arrives = ARRIVES
            .iter()
            .find(|(known, _)| known == id)
            .map_or(&[] as &[Arrival], |(_, arrives)| arrives);
        let may_arrive = expect.contains('F');
        assert_eq!(
            may_arrive,
            !arrives.is_empty(),
            "{id}: what arrives at the origin must be in ARRIVES if it may"
        );
        Case {
            id: id.clone(),
            expect: expect.clone(),
            bytes: corpus::bytes(bytes),
            note: note.clone(),
            arrives,
        }
    }

    fn run(&self, form: Form, over: Over) -> Result<(), String> {
        let origin =
            Origin::start(|connection| connection.serve(|request| format!("U:{}", request.target)));
        let port = origin.port();
        let hotgate = Way::open(over, |key, tls| {
            format!(
                "[sites.{key:?}]\nto = {port}\n{tls}[sites.{key:?}.paths]\n\"/admin\" = {{ to = {port}, allow = [\"10.9.9.9/32\"] }}\n"
            )
        });

        let mut client = Client::connect(hotgate.address());
        let (finals, rest) = self.converse(&mut client, form)?;

        let sentinel = Client::connect(hotgate.address()).get("/sentinel");
        expect(sentinel.text() == "U:/sentinel", || {
            format!("the sentinel got {} {:?}", sentinel.status, sentinel.text())
        })?;
        hotgate.stop();
        let mut arrived = Vec::new();
        let mut unfinished = Vec::new();
        for record in origin.finish() {
            let (requests, rest) = message::requests(&record.bytes)?;
            arrived.extend(requests);
            unfinished.extend_from_slice(rest);
        }
        for request in &arrived {
            check_clean(request)?;
        }
        let expected_beside = if form.has_good_request() { 2 } else { 1 };
        let beside = arrived
            .iter()
            .filter(|request| matches!(request.target.as_str(), "/sentinel" | "/good"))
            .count();
        expect(beside == expected_beside, || {
            "the good requests did not arrive once each".to_owned()
        })?;
        arrived.retain(|request| !matches!(request.target.as_str(), "/sentinel" | "/good"));
        self.judge(
            form,
            &Seen {
                finals,
                rest,
                arrived,
                unfinished,
            },
        )
    }

    /// Sends the case in its form; the final responses to it, and what else came until the close.
    fn converse(
        &self,
        client: &mut Client,
        form: Form,
    ) -> Result<(Vec<Response>, Vec<u8>), String> {
        let mut bytes = self.bytes.clone();
        let mut methods: Vec<&str> = self
            .arrives
            .first()
            .map_or(&[] as Arrival, |arrival| arrival)
            .iter()
            .map(|it| it.0)
            .collect();
        match form {
            Form::Whole | Form::Octets | Form::LineEnds => {}
            Form::After => {
                let good = client.ask(GOOD);
                expect(good.text() == "U:/good", || {
                    format!("the good request before got {}", good.status)
                })?;
            }
            Form::Behind => {
                bytes.splice(0..0, GOOD.bytes());
                methods.insert(0, "GET");
            }
        }
        // A legal message is answered as often as it is due; then our side is closed, so that one answer too many would
        // show before hotgate closes too. After a refusal it is hotgate that has to close.
        let is_to_close = self.arrives.is_empty() && !self.expect.starts_with('D');
        let finals_due = if is_to_close {
            usize::MAX
        } else {
            methods.len().max(1)
        };
        let mut reader = client.reader();
        let mut read = std::thread::scope(|scope| {
            let reading = scope.spawn(move || Read::until(&mut reader, &methods, finals_due));
            client.send_pieces(&form.cut().pieces(&bytes));
            reading.join().expect("reading does not panic")
        })?;
        client.half_close();
        read.finish(client)?;
        if form == Form::Behind {
            expect(!read.finals.is_empty(), || {
                "the good request in front got no answer".to_owned()
            })?;
            let good = read.finals.remove(0);
            expect(good.text() == "U:/good", || {
                format!("the good request in front got {}", good.status)
            })?;
        }
        Ok((read.finals, read.unread))
    }

    fn judge(&self, form: Form, seen: &Seen) -> Result<(), String> {
        let statuses: Vec<u16> = seen.finals.iter().map(|response| response.status).collect();
        expect(seen.rest.is_empty(), || {
            format!("the client got what is no response: {}", show(&seen.rest))
        })?;
        let refused =
            seen.arrived.is_empty() && statuses.iter().all(|status| (400..600).contains(status));
        if refused {
            return self.judge_refusal(form, seen, &statuses);
        }
        expect(!self.arrives.is_empty(), || {
            format!(
                "{:?} reached the origin; the client got {statuses:?}",
                seen.arrived.iter().map(Request::line).collect::<Vec<_>>()
            )
        })?;
        expect(seen.unfinished.is_empty(), || {
            format!("unfinished at the origin: {}", show(&seen.unfinished))
        })?;
        let arrived: Vec<_> = seen
            .arrived
            .iter()
            .map(|request| {
                (
                    request.method.as_str(),
                    request.target.as_str(),
                    String::from_utf8_lossy(&request.body),
                )
            })
            .collect();
        let is_expected = self.arrives.iter().any(|arrival| {
            arrival.len() == arrived.len()
                && arrival
                    .iter()
                    .zip(&arrived)
                    .all(|(due, got)| due.0 == got.0 && due.1 == got.1 && due.2 == got.2)
        });
        expect(is_expected, || {
            format!(
                "at the origin arrived {arrived:?}, due is {:?}",
                self.arrives
            )
        })?;
        expect(
            statuses.len() == arrived.len() && statuses.iter().all(|&status| status == 200),
            || {
                format!(
                    "{} requests arrived, the client got {statuses:?}",
                    arrived.len()
                )
            },
        )?;
        for condition in self.expect.split(':').skip(1) {
            check_condition(condition, &seen.arrived[0])?;
        }
        Ok(())
    }

    fn judge_refusal(&self, form: Form, seen: &Seen, statuses: &[u16]) -> Result<(), String> {
        // With the error in the body, its head may have gone on when the writes came one by one. Then the origin must
        // never see an end of that body.
        let may_have_begun =
            self.id.starts_with("CH-") && matches!(form, Form::Octets | Form::LineEnds);
        expect(seen.unfinished.is_empty() || may_have_begun, || {
            format!("reached the origin: {}", show(&seen.unfinished))
        })?;
        match statuses {
            [] => expect(self.expect.contains('C'), || {
                "closed without an answer".to_owned()
            }),
            [status] => {
                let listed = self
                    .expect
                    .split(':')
                    .next()
                    .unwrap_or("")
                    .contains(&status.to_string());
                let may_refuse = self.arrives.contains(&REFUSED) && *status < 500;
                expect(listed || may_refuse, || format!("refused with {status}"))?;
                let response = &seen.finals[0];
                expect(
                    self.expect.starts_with('D') || response.says_close(),
                    || {
                        format!(
                            "a refusal without `Connection: close`: {:?}",
                            response.fields
                        )
                    },
                )
            }
            several => Err(format!(
                "several answers to one refused message: {several:?}"
            )),
        }
    }
}

/// The responses read so far from one connection.
#[derive(Default)]
struct Read {
    finals: Vec<Response>,
    unread: Vec<u8>,
    methods: Vec<String>,
}

impl Read {
    /// Reads until `due` final responses have come, or the end of the connection.
    fn until(client: &mut Client, methods: &[&str], due: usize) -> Result<Read, String> {
        let mut read = Read {
            methods: methods.iter().map(|&method| method.to_owned()).collect(),
            ..Read::default()
        };
        while read.finals.len() < due {
            let at_end = !client.read_more(&mut read.unread)?;
            read.take(at_end)?;
            if at_end {
                break;
            }
        }
        Ok(read)
    }

    /// Reads to the end of the connection.
    fn finish(&mut self, client: &mut Client) -> Result<(), String> {
        while client.read_more(&mut self.unread)? {}
        self.take(true)
    }

    fn take(&mut self, at_end: bool) -> Result<(), String> {
        while !self.unread.is_empty() {
            let to_head = self
                .methods
                .get(self.finals.len())
                .is_some_and(|method| method == "HEAD");
            match message::parse_response(&self.unread, to_head, at_end) {
                Parsed::Complete(response, length) => {
                    self.unread.drain(..length);
                    if response.status >= 200 {
                        self.finals.push(response);
                    }
                }
                Parsed::Incomplete => break,
                Parsed::Malformed(why) => {
                    return Err(format!(
                        "malformed response: {why}\n  in {}",
                        show(&self.unread)
                    ));
                }
            }
        }
        Ok(())
    }
}

/// What holds for every request that hotgate sends, whatever it was made from.
fn check_clean(request: &Request) -> Result<(), String> {
    let fields = &request.fields;
    let clean = |is_so: bool, what: &str| {
        expect(is_so, || {
            format!("{what}: {} {:?}", request.line(), fields.0)
        })
    };
    clean(request.version == "HTTP/1.1", "version")?;
    clean(fields.all("host").len() == 1, "exactly one Host")?;
    clean(
        fields.all("x-forwarded-for") == ["127.0.0.1"],
        "X-Forwarded-For is the client alone",
    )?;
    for name in [
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "http2-settings",
        "expect",
        "proxy-authorization",
    ] {
        clean(!fields.has(name), name)?;
    }
    clean(
        fields.0.iter().all(|(name, _)| {
            name.bytes()
                .all(|octet| octet.is_ascii_alphanumeric() || octet == b'-')
        }),
        "names",
    )
}

fn check_condition(condition: &str, request: &Request) -> Result<(), String> {
    let what = || format!("{condition}: {} {:?}", request.line(), request.fields.0);
    match condition.split_once('=') {
        Some(("nohdr", name)) => expect(!request.fields.has(name), what),
        Some(("noval", value)) => expect(
            !request.fields.0.iter().any(|field| field.1.contains(value)),
            what,
        ),
        Some(("path", path)) => expect(request.target == path, what),
        // Both hold for every case: see check_clean and judge.
        None if matches!(condition, "xff" | "noevil") => Ok(()),
        _ => panic!("unknown condition in requests.txt: {condition}"),
    }
}

fn expect(is_so: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if is_so { Ok(()) } else { Err(what()) }
}
