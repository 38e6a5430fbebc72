//! The access log's cost: on the request path (pack, push) and on the writer's thread (pop, unpack, format).
//!
//! `cargo bench --bench access`. Each case checks its own answer before it is timed.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::task::Waker;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use hotgate::http::message::Version;
use hotgate::telemetry::access::PACKED_BYTES_MAX;
use hotgate::telemetry::ring::ring;
use hotgate::telemetry::{AccessRecord, AccessSink, LineFormat, Redaction, RequestId};

/// A browser's request for a page, as most lines of most logs.
const RECORD: AccessRecord<'static> = AccessRecord {
    ts_unix_nanos: 1_795_392_694_123_456_789,
    duration_nanos: 929_675,
    upstream_duration_nanos: Some(800_123),
    worker: 3,
    id: RequestId {
        boot: 0x1234_5678_9abc,
        worker: 3,
        serial: 123_456,
    },
    peer: SocketAddr::new(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7)), 41342),
    client_ip: IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7)),
    proto: Version::Http11,
    method: b"GET",
    host: b"www.example.com",
    uri: b"/articles/2026/11/a-narrow-place?utm_source=newsletter&token=secret",
    user_id: None,
    user_agent: Some(
        b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36",
    ),
    referer: Some(b"https://www.example.com/articles/"),
    content_type: Some(b"text/html; charset=utf-8"),
    status: 200,
    bytes_read: 0,
    bytes_sent: 10_900,
    site: "www.example.com",
    route: "/",
    upstream: "127.0.0.1:3000",
    reason: "",
};

/// The part a worker pays.
fn request_path(criterion: &mut Criterion) {
    let mut packed = vec![0; PACKED_BYTES_MAX];
    let length = RECORD.pack(&mut packed).expect("it fits");
    assert_eq!(AccessRecord::unpack(&packed[..length]), Some(RECORD));

    let mut group = criterion.benchmark_group("access/request path");
    group.throughput(Throughput::Elements(1));
    group.bench_function("pack", |bencher| {
        bencher.iter(|| black_box(&RECORD).pack(black_box(&mut packed)));
    });

    let (producer, consumer) = ring(64 * 1024);
    let mut record = Vec::with_capacity(PACKED_BYTES_MAX);
    group.bench_function("push and pop", |bencher| {
        bencher.iter(|| {
            assert!(producer.push(black_box(&packed[..length])));
            assert!(consumer.pop(&mut record));
        });
    });

    // Another thread empties the ring, as in life; what is lost to its slowness is pushed again.
    let (producer, consumer) = ring(512 * 1024);
    let sink = AccessSink::new(producer, Waker::noop().clone());
    let reader = std::thread::spawn(move || {
        let mut record = Vec::with_capacity(PACKED_BYTES_MAX);
        while !consumer.is_abandoned() {
            while consumer.pop(&mut record) {
                assert_eq!(record.len(), length);
            }
            std::hint::spin_loop();
        }
    });
    group.bench_function("pack and push, another thread pops", |bencher| {
        bencher.iter(|| while !sink.push(black_box(&RECORD)) {});
    });
    drop(sink);
    reader.join().expect("the reader ends");
    group.finish();
}

/// The part the writer's thread pays, apart from the write itself.
fn writer(criterion: &mut Criterion) {
    let mut packed = vec![0; PACKED_BYTES_MAX];
    let length = RECORD.pack(&mut packed).expect("it fits");
    let mut line = Vec::with_capacity(PACKED_BYTES_MAX);

    let mut group = criterion.benchmark_group("access/writer");
    for (name, format, end) in [
        ("json", LineFormat::Json, &b"\"}\n"[..]),
        ("combined", LineFormat::Combined, b"Safari/537.36\"\n"),
    ] {
        for (mode, redact) in [
            ("", Redaction::default()),
            (", redacted", Redaction::of_query(["token", "key"])),
        ] {
            line.clear();
            format.write(&RECORD, &mut line, &redact);
            assert!(line.ends_with(end));
            group.throughput(Throughput::Bytes(line.len() as u64));
            group.bench_function(format!("unpack, {name}{mode}"), |bencher| {
                bencher.iter(|| {
                    line.clear();
                    let record =
                        AccessRecord::unpack(black_box(&packed[..length])).expect("a record");
                    format.write(&record, &mut line, &redact);
                    black_box(line.len())
                });
            });
        }
    }
    group.bench_function("request id, text", |bencher| {
        bencher.iter(|| black_box(RECORD.id).text());
    });
    group.finish();
}

criterion_group!(benches, request_path, writer);
criterion_main!(benches);
