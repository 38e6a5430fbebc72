//! The chunk decoder, on bodies from very small chunks to large ones.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use hotgate::h1::chunked::{CHUNK_END, CHUNK_HEAD_BYTES_MAX, LAST_CHUNK, encode_chunk_head_before};
use hotgate::h1::{ChunkStep, ChunkedDecoder};
use std::hint::black_box;

const CONTENT_BYTES: usize = 64 * 1024;

fn body(chunk_bytes: usize) -> Vec<u8> {
    let mut chunk = vec![b'x'; CHUNK_HEAD_BYTES_MAX + chunk_bytes];
    let start = encode_chunk_head_before(&mut chunk, CHUNK_HEAD_BYTES_MAX, chunk_bytes);
    chunk.extend_from_slice(CHUNK_END);
    let mut body = chunk[start..].repeat(CONTENT_BYTES / chunk_bytes);
    body.extend_from_slice(LAST_CHUNK);
    body
}

/// Octets of content, reading `body` in pieces.
fn decode(body: &[u8], piece_bytes: usize) -> usize {
    let mut decoder = ChunkedDecoder::new();
    let mut content_bytes = 0;
    for piece in body.chunks(piece_bytes) {
        let mut rest = piece;
        while let ChunkStep::Content { start, end } = decoder.step(rest).expect("a valid body") {
            content_bytes += end - start;
            rest = &rest[end..];
        }
    }
    assert!(decoder.is_done());
    content_bytes
}

fn chunked(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("chunked");
    for chunk_bytes in [16, 256, 4096, 16 * 1024] {
        let body = body(chunk_bytes);
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_with_input(
            BenchmarkId::new("whole", chunk_bytes),
            &body,
            |bencher, body| {
                bencher.iter(|| assert_eq!(decode(black_box(body), body.len()), CONTENT_BYTES));
            },
        );
    }
    let body = body(4096);
    group.throughput(Throughput::Bytes(body.len() as u64));
    group.bench_with_input(
        BenchmarkId::new("in segments of 1448", 4096),
        &body,
        |bencher, body| {
            bencher.iter(|| assert_eq!(decode(black_box(body), 1448), CONTENT_BYTES));
        },
    );
    group.finish();
}

criterion_group!(benches, chunked);
criterion_main!(benches);
