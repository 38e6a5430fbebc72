//! Heads as real clients and servers send them, for the benches that read heads. Each of them uses some.
#![allow(dead_code)]

/// Chrome 141 opening a page, on Linux.
pub(crate) const CHROME: &[u8] = b"GET /docs/getting-started?lang=en HTTP/1.1\r\n\
Host: www.example.com\r\n\
Connection: keep-alive\r\n\
Cache-Control: max-age=0\r\n\
sec-ch-ua: \"Google Chrome\";v=\"141\", \"Not?A_Brand\";v=\"8\", \"Chromium\";v=\"141\"\r\n\
sec-ch-ua-mobile: ?0\r\n\
sec-ch-ua-platform: \"Linux\"\r\n\
Upgrade-Insecure-Requests: 1\r\n\
User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36\r\n\
Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7\r\n\
Sec-Fetch-Site: same-origin\r\n\
Sec-Fetch-Mode: navigate\r\n\
Sec-Fetch-User: ?1\r\n\
Sec-Fetch-Dest: document\r\n\
Referer: https://www.example.com/docs/\r\n\
Accept-Encoding: gzip, deflate, br, zstd\r\n\
Accept-Language: en-GB,en;q=0.9,de;q=0.8\r\n\
Cookie: session=6b1f0e0c2a5d4f7f9d2f4c8a1b3e5d7f; theme=dark; consent=1; _ga=GA1.1.1187453201.1730000000\r\n\
If-None-Match: W/\"6720f1c5-3a1b\"\r\n\
\r\n";

/// Firefox 143 loading an image.
pub(crate) const FIREFOX: &[u8] = b"GET /img/logo.svg HTTP/1.1\r\n\
Host: www.example.com\r\n\
User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0\r\n\
Accept: image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5\r\n\
Accept-Language: en-GB,en;q=0.5\r\n\
Accept-Encoding: gzip, deflate, br, zstd\r\n\
Connection: keep-alive\r\n\
Referer: https://www.example.com/\r\n\
Sec-Fetch-Dest: image\r\n\
Sec-Fetch-Mode: no-cors\r\n\
Sec-Fetch-Site: same-origin\r\n\
Priority: u=5\r\n\
\r\n";

/// curl 8.
pub(crate) const CURL: &[u8] = b"GET /health HTTP/1.1\r\n\
Host: localhost:8080\r\n\
User-Agent: curl/8.14.1\r\n\
Accept: */*\r\n\
\r\n";

/// A program calling an API: ten fields.
pub(crate) const API: &[u8] = b"POST /v1/orders/8f14e45f/items HTTP/1.1\r\n\
Host: api.example.com\r\n\
User-Agent: python-requests/2.32.3\r\n\
Accept-Encoding: gzip, deflate, br\r\n\
Accept: application/json\r\n\
Connection: keep-alive\r\n\
Authorization: Bearer eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiI0MiIsImV4cCI6MTc2MDAwMDAwMH0.MEUCIQDx0s2nq3b6hYkq\r\n\
X-Request-ID: 0f8fad5b-d9cb-469f-a165-70867728950e\r\n\
Idempotency-Key: 7c9e6679-7425-40de-944b-e07fc1f90ae7\r\n\
Content-Type: application/json\r\n\
Content-Length: 148\r\n\
\r\n";

/// An application behind the proxy.
pub(crate) const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\n\
Server: gunicorn\r\n\
Date: Tue, 28 Oct 2025 09:41:12 GMT\r\n\
Connection: keep-alive\r\n\
Content-Type: text/html; charset=utf-8\r\n\
Content-Length: 18734\r\n\
Cache-Control: private, max-age=0, must-revalidate\r\n\
Vary: Accept-Encoding, Cookie\r\n\
ETag: W/\"492e-Vw1bGpOa1xJ4mO2e0YdYyV7c9kE\"\r\n\
X-Frame-Options: DENY\r\n\
X-Content-Type-Options: nosniff\r\n\
Set-Cookie: session=6b1f0e0c2a5d4f7f9d2f4c8a1b3e5d7f; Path=/; HttpOnly; Secure; SameSite=Lax\r\n\
\r\n";

/// Name, head, number of field lines.
pub(crate) const REQUESTS: [(&str, &[u8], usize); 4] = [
    ("chrome", CHROME, 18),
    ("firefox", FIREFOX, 11),
    ("curl", CURL, 3),
    ("api", API, 10),
];
