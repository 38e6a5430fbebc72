//! Writing heads and chunk size lines.

mod heads;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use heads::{API, RESPONSE};
use hotgate::h1::chunked::{CHUNK_HEAD_BYTES_MAX, encode_chunk_head_before};
use hotgate::h1::encode::{Encoder, encode_request_line, encode_status_line};
use hotgate::h1::{HeadLimits, Progress, RequestParser, ResponseParser};
use std::hint::black_box;

fn heads_out(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode");
    let mut out = [0; 4096];

    let mut parser = RequestParser::new();
    assert_eq!(
        parser.parse(API, &HeadLimits::default()),
        Ok(Progress::Complete)
    );
    let head = &parser.head;
    group.throughput(Throughput::Bytes(API.len() as u64));
    group.bench_function("request", |bencher| {
        bencher.iter(|| {
            let mut encoder = Encoder::new(black_box(&mut out));
            encode_request_line(
                &mut encoder,
                head.method_token.of(API),
                head.target.of(API),
                None,
            );
            for line in &head.fields {
                encoder.field(line.name.of(API), line.value.of(API));
            }
            encoder.put(b"\r\n");
            assert_eq!(encoder.finish(), Some(API.len()));
        });
    });
    assert_eq!(&out[..API.len()], API);

    let mut parser = ResponseParser::new();
    assert_eq!(
        parser.parse(RESPONSE, &HeadLimits::default()),
        Ok(Progress::Complete)
    );
    let head = &parser.head;
    group.throughput(Throughput::Bytes(RESPONSE.len() as u64));
    group.bench_function("response", |bencher| {
        bencher.iter(|| {
            let mut encoder = Encoder::new(black_box(&mut out));
            encode_status_line(&mut encoder, head.status, head.reason.of(RESPONSE));
            for line in &head.fields {
                encoder.field(line.name.of(RESPONSE), line.value.of(RESPONSE));
            }
            encoder.put(b"\r\n");
            assert_eq!(encoder.finish(), Some(RESPONSE.len()));
        });
    });
    assert_eq!(&out[..RESPONSE.len()], RESPONSE);
    group.finish();
}

fn numbers(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode numbers");
    let mut out = [0; 32];
    group.bench_function("decimal", |bencher| {
        bencher.iter(|| {
            let mut encoder = Encoder::new(&mut out);
            encoder.put_decimal(black_box(1_234_567));
            assert_eq!(encoder.finish(), Some(7));
        });
    });
    group.bench_function("chunk size", |bencher| {
        bencher.iter(|| {
            let start = encode_chunk_head_before(&mut out, CHUNK_HEAD_BYTES_MAX, black_box(0x4000));
            assert_eq!(start, CHUNK_HEAD_BYTES_MAX - 6);
        });
    });
    group.finish();
}

criterion_group!(benches, heads_out, numbers);
criterion_main!(benches);
