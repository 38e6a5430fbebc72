//! Knot DNS, a real name server with dynamic updates, for the zone example.com.

use std::path::Path;

use super::{
    pebble::listens,
    place::{Folder, Running, free_port, program},
};

/// The key that may change the zone, and one that is known and may not.
pub(crate) const KEY: (&str, &str) = ("acme", "c2VjcmV0IG9mIHRoZSB0ZXN0LCAzMiBvY3RldHMgbG8=");
pub(crate) const POWERLESS: (&str, &str) =
    ("reader", "YW5vdGhlciBzZWNyZXQsIGFsc28gMzIgb2N0ZXRzLi4=");

/// A running name server.
pub(crate) struct Knot {
    pub(crate) port: u16,
    _folder: Folder,
    _running: Running,
}

impl Knot {
    pub(crate) fn start() -> Result<Knot, String> {
        let knot = program("knotd")?;
        let (folder, port) = (Folder::new(), free_port());
        let path = |name: &str| folder.path().join(name).display().to_string();
        folder.file(
            "example.com.zone",
            "$ORIGIN example.com.\n$TTL 60\n\
             @ SOA ns.example.com. ops.example.com. 1 60 60 3600 60\n@ NS ns\nns A 127.0.0.1\n@ A 127.0.0.1\napp A 127.0.0.1\n\
             _acme-challenge.alias CNAME _acme-challenge.elsewhere.example.com.\nalias A 127.0.0.1\n",
        );
        let config = format!(
            "server:\n    rundir: {run}\n    listen: 127.0.0.1@{port}\n    user: {user}\n\
             database:\n    storage: {db}\n\
             key:\n  - id: {}\n    algorithm: hmac-sha256\n    secret: {}\n  - id: {}\n    algorithm: hmac-sha256\n    secret: {}\n\
             acl:\n  - id: updates\n    key: {}\n    action: update\n\
             zone:\n  - domain: example.com\n    storage: {zones}\n    file: example.com.zone\n    acl: updates\n    \
             zonefile-sync: -1\n    journal-content: changes\n",
            KEY.0,
            KEY.1,
            POWERLESS.0,
            POWERLESS.1,
            KEY.0,
            run = path("run"),
            db = path("db"),
            zones = folder.path().display(),
            user = user_of(folder.path()),
        );
        std::fs::create_dir(folder.path().join("run")).expect("ours");
        std::fs::create_dir(folder.path().join("db")).expect("ours");
        let file = folder.file("knot.conf", config);
        let running = Running::start(&folder, &knot, ["-c".as_ref(), file.as_os_str()], &[]);
        listens(port);
        Ok(Knot {
            port,
            _folder: folder,
            _running: running,
        })
    }
}

/// It gives up root's rights for those of the folder's owner: the same.
fn user_of(folder: &Path) -> String {
    use std::os::unix::fs::MetadataExt as _;
    let metadata = std::fs::metadata(folder).expect("ours");
    let name = |file: &str, id: u32| {
        let text = std::fs::read_to_string(file).expect("it is there");
        let line = text
            .lines()
            .find(|line| line.split(':').nth(2) == Some(&id.to_string()))
            .map(str::to_owned);
        line.and_then(|line| line.split(':').next().map(str::to_owned))
            .expect("the id has a name")
    };
    format!(
        "{}:{}",
        name("/etc/passwd", metadata.uid()),
        name("/etc/group", metadata.gid())
    )
}
