//! Framing and persistence of parsed heads: the questions asked of every message.

mod heads;

use criterion::{Criterion, criterion_group, criterion_main};
use heads::{API, CHROME, RESPONSE};
use hotgate::h1::framing::{self, Framing};
use hotgate::h1::{HeadLimits, Progress, RequestParser, ResponseParser};
use hotgate::http::method::Method;
use std::hint::black_box;

fn request_framing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("request framing");
    for (name, bytes, expected) in [
        ("none", CHROME, Framing::None),
        ("length", API, Framing::Length(148)),
    ] {
        let mut parser = RequestParser::new();
        assert_eq!(
            parser.parse(bytes, &HeadLimits::default()),
            Ok(Progress::Complete)
        );
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                assert_eq!(
                    framing::of_request(black_box(&parser.head), bytes),
                    Ok(expected)
                )
            });
        });
    }
    group.finish();
}

fn response_framing(criterion: &mut Criterion) {
    let mut parser = ResponseParser::new();
    assert_eq!(
        parser.parse(RESPONSE, &HeadLimits::default()),
        Ok(Progress::Complete)
    );
    criterion.bench_function("response framing", |bencher| {
        bencher.iter(|| {
            let answer =
                framing::of_response(black_box(Method::Get), black_box(&parser.head), RESPONSE);
            assert_eq!(answer, Ok(Framing::Length(18_734)));
        });
    });
}

criterion_group!(benches, request_framing, response_framing);
criterion_main!(benches);
