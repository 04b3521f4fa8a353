//! A client by a stranger, who has the page of the protocol and its vectors and none of our code: CBOR, zstd, SHA-256 and HTTP.

use std::io::Read as _;

use ciborium::Value as Cbor;
use ed25519_dalek::{Signer, SigningKey};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tests::World;

fn text(text: &str) -> Cbor {
    Cbor::Text(text.into())
}

fn map<const N: usize>(entries: [(&str, Cbor); N]) -> Cbor {
    Cbor::Map(entries.into_iter().map(|(key, value)| (text(key), value)).collect())
}

fn get<'a>(map: &'a Cbor, key: &str) -> &'a Cbor {
    let found = map.as_map().unwrap().iter().find(|(k, _)| k.as_text() == Some(key));
    &found.unwrap_or_else(|| panic!("no `{key}` in {map:?}")).1
}

fn list<'a>(value: &'a Cbor, key: &str) -> &'a [Cbor] {
    get(value, key).as_array().unwrap()
}

fn cbor(value: &Cbor) -> Vec<u8> {
    let mut out = Vec::new();
    ciborium::into_writer(value, &mut out).unwrap();
    out
}

fn unhex(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap();
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}

/// As the page says under "Packed".
fn unpack(packed: &[Cbor]) -> Vec<Vec<u8>> {
    let mut chunks = Vec::new();
    let mut before: Vec<u8> = Vec::new();
    for form in packed {
        let (first, rest) = form.as_bytes().unwrap().split_first().unwrap();
        let content = match first {
            0 => {
                before = Sha256::digest(&rest[8..]).to_vec();
                chunks.push(rest.to_vec());
                continue;
            }
            1 => rest.to_vec(),
            2 => [&[1], before.as_slice(), rest].concat(),
            other => panic!("a form {other}"),
        };
        let mut counted = vec![1];
        let mut n = content.len();
        while n > 0x7f {
            counted.push(0x80 | (n & 0x7f) as u8);
            n >>= 7;
        }
        counted.push(n as u8);
        counted.extend(content);
        before = Sha256::digest(&counted).to_vec();
        chunks.push([&[0x85, 0x6f, 0x4a, 0x83], &before[..4], &counted].concat());
    }
    chunks
}

struct Stranger {
    url: String,
    key: SigningKey,
    device: Vec<u8>,
    user: Vec<u8>,
    token: String,
    journal: Cbor,
    cursors: Cbor,
    /// How often in a row it was put off.
    put_off: u32,
    /// Lets time pass.
    wait: Box<dyn Fn(i64)>,
}

fn id(value: &Value) -> Vec<u8> {
    uuid::Uuid::parse_str(value.as_str().unwrap()).unwrap().as_bytes().to_vec()
}

impl Stranger {
    fn register(world: &World) -> Self {
        let reply = crate::vectors::register(world);
        Self {
            url: world.url(),
            key: SigningKey::from_bytes(&[1; 32]),
            device: id(&reply["id"]),
            user: id(&reply["session"]["user"]["id"]),
            token: reply["session"]["access_token"].as_str().unwrap().to_owned(),
            journal: Cbor::Null,
            cursors: Cbor::Array(vec![]),
            put_off: 0,
            wait: {
                let clock = world.clock.clone();
                Box::new(move |ms| clock.advance(ms))
            },
        }
    }

    fn asked(&self, body: &[u8]) -> ureq::http::Response<ureq::Body> {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let request = agent
            .post(format!("{}/v1/sync", self.url))
            .header("Authorization", format!("Bearer {}", self.token))
            .header("Content-Type", "application/vnd.fengqiao.sync");
        request.send(body).unwrap()
    }

    /// One round of the client's loop.
    fn sync(&mut self, bundles: Vec<Cbor>) -> Cbor {
        let request = map([
            ("v", 1.into()),
            ("d", Cbor::Bytes(self.device.clone())),
            ("j", self.journal.clone()),
            ("c", self.cursors.clone()),
            ("b", Cbor::Array(bundles)),
            ("what a reader does not know", map([("is", text("skipped"))])),
        ]);
        let body = zstd::bulk::compress(&cbor(&request), 1).unwrap();
        let mut response = self.asked(&body);
        while response.status() == 503 {
            // As the page says under "When to ask": not before, and a little later, by a chance of one's own.
            let seconds: i64 = response.headers()["retry-after"].to_str().unwrap().parse().unwrap();
            self.put_off += 1;
            assert!(self.put_off < 10, "who obeys is let in");
            let most_ms = if self.put_off == 1 { 1_000 } else { 4_000 };
            (self.wait)(seconds * 1_000 + i64::from(self.device[15]) % most_ms);
            response = self.asked(&body);
        }
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "application/vnd.fengqiao.sync");
        let frame = response.body_mut().read_to_vec().unwrap();
        let mut plain = Vec::new();
        zstd::stream::read::Decoder::with_buffer(&frame[..]).unwrap().read_to_end(&mut plain).unwrap();
        let answer: Cbor = ciborium::from_reader(&plain[..]).unwrap();
        assert_eq!(get(&answer, "v"), &Cbor::from(1));
        self.put_off = 0;
        self.journal = get(&answer, "j").clone();
        self.cursors = get(&answer, "c").clone();
        answer
    }

    fn sign(&self, payload: &Cbor) -> Cbor {
        let payload = cbor(payload);
        let signature = self.key.sign(&[b"fengqiao-bundle-v1", payload.as_slice()].concat());
        map([("p", Cbor::Bytes(payload)), ("s", Cbor::Bytes(signature.to_bytes().to_vec()))])
    }
}

#[test]
fn stranger_receives_what_a_phone_wrote_and_hands_in_what_the_vectors_hold() {
    let world = crate::vectors::world();
    let phone = world.phone("he");
    let case = phone.report("欠薪：十七人，三个月");
    phone.sync();
    let mut stranger = Stranger::register(&world);
    let mut received = Vec::new();
    loop {
        let answer = stranger.sync(vec![]);
        received.extend(list(&answer, "n").to_vec());
        if get(&answer, "m") != &Cbor::Bool(true) {
            break;
        }
    }
    let [delivery] = received.as_slice() else { panic!("{received:?}") };
    assert_eq!(get(delivery, "d").as_bytes().unwrap(), case.0.as_bytes());
    let chunks = unpack(list(delivery, "c"));
    let mut document = automerge::AutoCommit::new();
    let changes = chunks.iter().map(|c| automerge::Change::from_bytes(c.clone()).unwrap());
    document.apply_changes(changes).unwrap();
    assert!(document.get_missing_deps(&[]).is_empty());
    let shown = serde_json::to_string(&automerge::AutoSerde::from(&document)).unwrap();
    assert!(shown.contains("欠薪：十七人，三个月"), "{shown}");
    assert_eq!(list(&stranger.sync(vec![]), "n"), [], "nothing comes twice");

    // The stranger is the author of the vectors' changes. He packs them his own way, under form 0, and signs what his own encoder writes.
    let vectors = tests::vectors::read("packed.json");
    let chunks: Vec<_> = vectors["vectors"][0]["chunks"].as_array().unwrap().iter().map(unhex).collect();
    let read = &tests::vectors::read("bundle.json")["read"];
    let bytes = |value: &Value| Cbor::Bytes(unhex(&json!(value.as_str().unwrap().trim_matches(['h', '\'']))));
    let claim = map([("hlc", map([("wall_ms", world.clock_ms().into()), ("count", 0.into())]))]);
    let change = |chunk: &Vec<u8>| map([("t", claim.clone()), ("c", Cbor::Bytes([&[0], chunk.as_slice()].concat()))]);
    let entry = &read["e"][0];
    let bundle = map([
        ("i", Cbor::Bytes(vec![0x1b; 16])),
        ("d", Cbor::Bytes(stranger.device.clone())),
        ("u", Cbor::Bytes(stranger.user.clone())),
        ("a", Cbor::Array(vec![bytes(&read["a"][0])])),
        ("t", Cbor::Array(vec![])),
        (
            "e",
            Cbor::Array(vec![map([
                ("d", bytes(&entry["d"])),
                ("k", text("case")),
                ("a", text(entry["a"].as_str().unwrap())),
                ("c", Cbor::Array(chunks.iter().map(change).collect())),
            ])]),
        ),
    ]);
    let signed = stranger.sign(&bundle);
    let answer = stranger.sync(vec![signed.clone()]);
    assert_eq!(list(&answer, "f"), []);
    let hashes: Vec<_> = list(&answer, "r").iter().map(|r| get(r, "h").as_bytes().unwrap().clone()).collect();
    let own: Vec<_> = chunks.iter().map(|c| Sha256::digest(&c[8..]).to_vec()).collect();
    assert_eq!(hashes, own, "{answer:?}");
    let told = |answer: &Cbor| -> Vec<Cbor> { list(answer, "r").iter().map(|r| get(r, "o").clone()).collect() };
    for (outcome, position) in told(&answer).iter().zip(i64::try_from(chunks_before(&received)).unwrap() + 1..) {
        assert_eq!(outcome, &map([("accepted", position.into())]));
    }
    assert_eq!(told(&stranger.sync(vec![signed])), vec![text("duplicate"); 3]);
    phone.sync();
    let document = uuid::Uuid::from_slice(get(&list(&bundle, "e")[0], "d").as_bytes().unwrap()).unwrap();
    assert_eq!(phone.case(sync_core::ids::DocumentId(document)).narrative, "欠薪：十七人，三个月");
}

fn chunks_before(received: &[Cbor]) -> usize {
    received.iter().map(|d| list(d, "c").len()).sum()
}

/// Reads a stream of events as the page says, until an event of this name comes; gives its data and the last id.
fn until(lines: &mut impl Iterator<Item = std::io::Result<String>>, name: &str) -> (Value, Option<String>) {
    let (mut event, mut data, mut id) = (String::new(), String::new(), None);
    for line in lines {
        let line = line.unwrap();
        match line.split_once(':') {
            None if line.is_empty() => {
                if event == name {
                    return (serde_json::from_str(&data).unwrap(), id);
                }
                (event, data) = (String::new(), String::new());
            }
            Some(("", _)) | None => {}
            Some((field, value)) => {
                let value = value.strip_prefix(' ').unwrap_or(value);
                match field {
                    "event" => event = value.to_owned(),
                    "data" => data.push_str(value),
                    "id" => id = Some(value.to_owned()),
                    _ => {}
                }
            }
        }
    }
    panic!("the stream ended before `{name}`");
}

#[test]
fn stranger_waits_for_his_moment_hears_the_live_stream_and_goes_on_where_it_broke() {
    use std::io::BufRead as _;
    let mut world = crate::vectors::world();
    let phone = world.phone("he");
    let reply = crate::vectors::register(&world);
    assert!(reply["id"].is_string());
    let address = world.url().trim_start_matches("http://").to_owned();
    world.stop();
    world.start_with(|config| {
        config.listen = address;
        config.sync_rate_per_second = 1;
        config.sync_burst = 2;
    });
    let mut stranger = Stranger::register(&world);
    for n in 1..=20 {
        world.app().guard.admit(server::guard::Door::Sync, uuid::Uuid::from_u128(n));
    }
    let begun_ms = world.clock_ms();
    stranger.sync(vec![]);
    assert!(world.clock_ms() - begun_ms >= 15_000, "there were twenty before him");

    let open = |last: Option<&str>| {
        let mut request = ureq::get(format!("{}/v1/events?only=head", stranger.url))
            .header("Authorization", format!("Bearer {}", stranger.token))
            .header("Accept", "text/event-stream");
        if let Some(last) = last {
            request = request.header("Last-Event-ID", last);
        }
        std::io::BufReader::new(request.call().unwrap().into_body().into_reader()).lines()
    };
    let mut stream = open(None);
    let (hello, _) = until(&mut stream, "hello");
    assert_eq!(id(&hello["journal"]), *stranger.journal.as_bytes().unwrap(), "the journal that he knows");
    phone.report("欠薪：十七人，三个月");
    world.pass(60_000);
    phone.sync();
    let (head, last) = until(&mut stream, "head");
    assert_eq!(head["community"], "GM-BIYAN");
    drop(stream);
    phone.report("断线的时候。");
    phone.sync();
    world.pass(60_000);
    let (missed, _) = until(&mut open(last.as_deref()), "head");
    assert!(missed["head"].as_i64() > head["head"].as_i64(), "{missed} after {head}");
    assert_eq!(list(&stranger.sync(vec![]), "n").len(), 2);
}
