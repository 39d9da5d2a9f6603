use proptest::prelude::*;

use super::*;

fn splitter(secrets: &[&str]) -> LineSplitter {
    LineSplitter::new(Arc::new(Masker::new(
        secrets.iter().map(|secret| secret.to_string()),
    )))
}

fn split_with(mut splitter: LineSplitter, chunks: &[&[u8]]) -> Vec<String> {
    let mut lines: Vec<String> = chunks
        .iter()
        .flat_map(|chunk| splitter.push(chunk))
        .collect();
    lines.extend(splitter.finish());
    lines
}

fn split(text: &[u8]) -> Vec<String> {
    split_with(splitter(&[]), &[text])
}

#[test]
fn lines_end_with_any_of_the_usual_ends() {
    assert_eq!(
        split(b"a\nb\r\nc\n\nd\r\r\ne"),
        ["a", "b", "c", "", "d", "e"]
    );
    assert_eq!(split(b"\r\n\r\n"), ["", ""]);
    assert_eq!(split(b"10%\r20%\r100%\n"), ["10%", "20%", "100%"]);
    assert!(split(b"").is_empty());
}

#[test]
fn escapes_and_control_characters_are_removed() {
    assert_eq!(split(b"\x1b[1;32mok\x1b[0m\tdone\x07\x00"), ["ok\tdone"]);
    assert_eq!(
        split(b"\x1b]0;title\x07a\x1b]8;;http://x\x1b\\b\x1b(Bc\x1b=d"),
        ["abcd"]
    );
    assert_eq!(split("a\u{9b}1mb\u{85}c".as_bytes()), ["a1mbc"]);
    assert_eq!(
        split(b"\x1b]unfinished\nnext"),
        ["", "next"],
        "the next line is seen"
    );
}

#[test]
fn what_is_no_utf8_becomes_a_replacement_character() {
    assert_eq!(split(b"caf\xe9\n\xc3\xa9\n"), ["caf\u{fffd}", "é"]);
}

#[test]
fn secrets_are_masked_also_when_cut_by_chunks_and_colours() {
    let chunks: [&[u8]; 3] = [b"the hun", b"ter2 and \x1b[1mhun\x1b", b"[0mter2\n"];
    assert_eq!(
        split_with(splitter(&["hunter2"]), &chunks),
        ["the *** and ***"]
    );
}

#[test]
fn long_lines_are_cut_into_pieces() {
    let text = "é".repeat(MAX_LINE);
    let pieces = split(format!("{text}\nnext\n").as_bytes());
    assert!(
        pieces
            .iter()
            .all(|piece| piece.len() <= MAX_LINE + LOOK_AHEAD)
    );
    assert_eq!(pieces.last().unwrap(), "next");
    assert_eq!(pieces[..pieces.len() - 1].concat(), text);
}

#[test]
fn no_secret_is_cut() {
    for offset in 0..40 {
        for (secret, shown) in [
            ("hunter2-is-the-secret", "***"),
            ("TOKEN=unknown-to-anyone ", "TOKEN=*** "),
            ("postgres://user:unknown@host/", "postgres://user:***@host/"),
        ] {
            let before =
                "x ".repeat((MAX_LINE - offset) / 2) + if offset % 2 == 0 { "" } else { "." };
            let text = format!("{before}{secret}{}", " y".repeat(LOOK_AHEAD));
            let pieces = split_with(splitter(&["hunter2-is-the-secret"]), &[text.as_bytes()]);
            assert!(pieces.len() > 1);
            assert_eq!(
                pieces.concat(),
                text.replace(secret, shown),
                "offset {offset}"
            );
        }
    }
}

#[test]
fn a_secret_without_end_takes_the_rest_of_the_line_with_it() {
    let text = format!("TOKEN={}\nnext", "s".repeat(5 * MAX_LINE));
    assert_eq!(split(text.as_bytes()), ["TOKEN=***", "next"]);
}

#[test]
fn the_tail_keeps_the_last_lines_within_its_bounds() {
    let mut tail = Tail::new(3, 10);
    for line in ["one", "two", "three", "four"] {
        tail.push(line.to_owned());
    }
    assert_eq!(
        tail.iter().collect::<Vec<_>>(),
        ["three", "four"],
        "nine bytes"
    );
    assert_eq!(tail.omitted(), 2);
    tail.push("longer than all of it".to_owned());
    assert_eq!(tail.iter().collect::<Vec<_>>(), ["longer than all of it"]);
    assert!(!tail.is_empty());
}

proptest! {
    #[test]
    fn the_same_bytes_make_the_same_lines_however_they_are_split(
        parts in prop::collection::vec(
            prop_oneof![
                Just(b"hunter2".to_vec()), Just(b"\r\n".to_vec()), Just(b"\x1b[31m".to_vec()), Just(b"KEY=abc ".to_vec()),
                Just(vec![b'x'; MAX_LINE]), Just("é€".repeat(3000).into_bytes()), prop::collection::vec(any::<u8>(), 0..12),
            ],
            0..20,
        ),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let bytes = parts.concat();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let chunks: Vec<&[u8]> = cuts.windows(2).map(|ends| &bytes[ends[0]..ends[1]]).collect();
        let lines = split_with(splitter(&["hunter2"]), &chunks);
        prop_assert_eq!(&lines, &split_with(splitter(&["hunter2"]), &[&bytes]));
        for line in &lines {
            prop_assert!(!line.contains("hunter2"));
            prop_assert!(line.chars().all(|character| character == '\t' || !character.is_control()));
        }
    }
}
