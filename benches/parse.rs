//! Heads: ours beside httparse, on messages as real clients and servers send them.
//!
//! httparse finds names and values; ours also looks each name up among those a rule asks for, which the
//! proxy would have to do afterwards.

mod heads;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use heads::{REQUESTS, RESPONSE};
use hotgate::h1::{HeadLimits, Progress, RequestParser, ResponseParser};
use std::hint::black_box;
use std::mem::MaybeUninit;

/// Room for field lines given to httparse; it is not initialised, as a server in a hurry would do.
const LINES: usize = 128;

fn requests(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("request");
    for (name, bytes, lines) in REQUESTS {
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_with_input(
            BenchmarkId::new("hotgate", name),
            bytes,
            |bencher, bytes| {
                let mut parser = RequestParser::new();
                let limits = HeadLimits::default();
                bencher.iter(|| {
                    parser.reset();
                    assert_eq!(
                        parser.parse(black_box(bytes), &limits),
                        Ok(Progress::Complete)
                    );
                    assert_eq!(
                        (parser.head.length, parser.head.fields.len()),
                        (bytes.len(), lines)
                    );
                });
            },
        );
        group.bench_with_input(
            BenchmarkId::new("httparse", name),
            bytes,
            |bencher, bytes| {
                bencher.iter(|| {
                    let mut room = [const { MaybeUninit::uninit() }; LINES];
                    let mut request = httparse::Request::new(&mut []);
                    let answer = request.parse_with_uninit_headers(black_box(bytes), &mut room);
                    assert_eq!(answer, Ok(httparse::Status::Complete(bytes.len())));
                    assert_eq!(request.headers.len(), lines);
                });
            },
        );
    }
    group.finish();
}

fn responses(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("response");
    group.throughput(Throughput::Bytes(RESPONSE.len() as u64));
    group.bench_function("hotgate", |bencher| {
        let mut parser = ResponseParser::new();
        let limits = HeadLimits::default();
        bencher.iter(|| {
            parser.reset();
            assert_eq!(
                parser.parse(black_box(RESPONSE), &limits),
                Ok(Progress::Complete)
            );
            assert_eq!(
                (parser.head.length, parser.head.fields.len()),
                (RESPONSE.len(), 11)
            );
        });
    });
    group.bench_function("httparse", |bencher| {
        bencher.iter(|| {
            let mut room = [const { MaybeUninit::uninit() }; LINES];
            let mut response = httparse::Response::new(&mut []);
            let config = httparse::ParserConfig::default();
            let answer = config.parse_response_with_uninit_headers(
                &mut response,
                black_box(RESPONSE),
                &mut room,
            );
            assert_eq!(answer, Ok(httparse::Status::Complete(RESPONSE.len())));
            assert_eq!(response.headers.len(), 11);
        });
    });
    group.finish();
}

/// The same head in pieces of 64 octets: what is paid for coming late.
fn pieces(criterion: &mut Criterion) {
    let (_, bytes, lines) = REQUESTS[0];
    let mut group = criterion.benchmark_group("request in pieces of 64");
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    group.bench_function("hotgate", |bencher| {
        let mut parser = RequestParser::new();
        let limits = HeadLimits::default();
        bencher.iter(|| {
            parser.reset();
            let ends = (64..bytes.len()).step_by(64);
            for end in ends {
                assert_eq!(
                    parser.parse(black_box(&bytes[..end]), &limits),
                    Ok(Progress::Incomplete)
                );
            }
            assert_eq!(
                parser.parse(black_box(bytes), &limits),
                Ok(Progress::Complete)
            );
            assert_eq!(parser.head.fields.len(), lines);
        });
    });
    group.finish();
}

criterion_group!(benches, requests, responses, pieces);
criterion_main!(benches);
