//! Splits a CSV file into records (RFC 4180), strictly: a stray quote is a fault, not a guess.
//!
//! A lenient reader turns one missing closing quote into a table that silently lacks the rest of the file.

use std::io::Read;

/// Longest record in bytes. A longer one is nearly always a quote that is never closed.
const MAX_RECORD_BYTES: usize = 16 << 20;
const READ_BYTES: usize = 1 << 20;

/// What is wrong with the file, and on which line.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) line: u64,
    pub(super) what: String,
    pub(super) advice: &'static str,
}

/// Reads records one by one, reusing one buffer.
pub(super) struct Records<R> {
    input: R,
    buffer: Vec<u8>,
    /// The part of `buffer` not yet consumed.
    start: usize,
    filled: usize,
    at_end: bool,
    /// Line on which the next record begins, from 1.
    line: u64,
    fields: Vec<Span>,
}

/// A field's bytes within the buffer, without its quotes.
#[derive(Clone, Copy)]
struct Span {
    start: usize,
    end: usize,
    has_escapes: bool,
}

/// One record.
pub(super) struct Record<'a> {
    bytes: &'a [u8],
    fields: &'a [Span],
    /// Line on which it begins.
    pub(super) line: u64,
}

impl<'a> Record<'a> {
    pub(super) fn len(&self) -> usize {
        self.fields.len()
    }

    pub(super) fn field(&self, i: usize) -> &'a [u8] {
        &self.bytes[self.fields[i].start..self.fields[i].end]
    }
}

/// Where a scan of the buffer ended.
enum Scan {
    /// The record is complete; the next one begins at the offset, so many lines further.
    Complete { next: usize, lines: u64 },
    /// The buffer ends before the record does.
    NeedsMore,
}

impl<R: Read> Records<R> {
    /// Starts at the beginning of a file, after its byte order mark.
    pub(super) fn new(input: R) -> Result<Self, Fault> {
        let mut records = Self {
            input,
            buffer: Vec::new(),
            start: 0,
            filled: 0,
            at_end: false,
            line: 1,
            fields: Vec::new(),
        };
        while records.filled < 4 && !records.at_end {
            records.fill()?;
        }
        let head = &records.buffer[..records.filled];
        if head.starts_with(&[0xEF, 0xBB, 0xBF]) {
            records.start = 3;
        } else if head.starts_with(&[0xFF, 0xFE]) || head.starts_with(&[0xFE, 0xFF]) {
            return Err(Fault {
                line: 1,
                what: "the file is in UTF-16".to_owned(),
                advice: "save it as CSV UTF-8 or convert it with: iconv -f UTF-16 -t UTF-8",
            });
        }
        Ok(records)
    }

    /// The line on which the next record begins.
    pub(super) fn line(&self) -> u64 {
        self.line
    }

    /// The next record, or `None` at the end. Blank lines are skipped.
    pub(super) fn next(&mut self) -> Result<Option<Record<'_>>, Fault> {
        loop {
            if self.start == self.filled && self.at_end {
                return Ok(None);
            }
            match self.scan()? {
                Scan::NeedsMore => self.fill()?,
                Scan::Complete { next, lines } => {
                    let (begin, line) = (self.start, self.line);
                    self.start = next;
                    self.line += lines;
                    let is_blank = self.fields.len() == 1 && {
                        let only = self.fields[0];
                        only.start == only.end && only.start == begin
                    };
                    if is_blank {
                        continue;
                    }
                    self.unescape();
                    return Ok(Some(Record {
                        bytes: &self.buffer,
                        fields: &self.fields,
                        line,
                    }));
                }
            }
        }
    }

    /// Finds the fields of the record that begins at `start`.
    fn scan(&mut self) -> Result<Scan, Fault> {
        self.fields.clear();
        let bytes = &self.buffer[..self.filled];
        let mut at = self.start;
        let mut inner_lines = 0;
        loop {
            let span;
            if bytes.get(at) == Some(&b'"') {
                let Some((found, lines)) = quoted(bytes, at + 1, self.at_end) else {
                    return self.unfinished(inner_lines);
                };
                inner_lines += lines;
                span = found;
                at = span.end + 1;
            } else {
                let length = bytes[at..]
                    .iter()
                    .position(|b| matches!(b, b',' | b'\n' | b'\r' | b'"'));
                let end = length.map_or(bytes.len(), |n| at + n);
                if bytes.get(end) == Some(&b'"') {
                    return Err(self.stray_quote(inner_lines));
                }
                span = Span {
                    start: at,
                    end,
                    has_escapes: false,
                };
                at = end;
            }
            self.fields.push(span);
            match bytes.get(at) {
                Some(b',') => at += 1,
                Some(b'\n') => {
                    return Ok(Scan::Complete {
                        next: at + 1,
                        lines: inner_lines + 1,
                    });
                }
                Some(b'\r') => match bytes.get(at + 1) {
                    Some(b'\n') => {
                        return Ok(Scan::Complete {
                            next: at + 2,
                            lines: inner_lines + 1,
                        });
                    }
                    None if !self.at_end => return self.unfinished(inner_lines),
                    _ => {
                        return Ok(Scan::Complete {
                            next: at + 1,
                            lines: inner_lines + 1,
                        });
                    }
                },
                Some(_) => return Err(self.stray_quote(inner_lines)),
                None if self.at_end => {
                    return Ok(Scan::Complete {
                        next: at,
                        lines: inner_lines,
                    });
                }
                None => return self.unfinished(inner_lines),
            }
        }
    }

    fn unfinished(&self, inner_lines: u64) -> Result<Scan, Fault> {
        let advice = "close the quote; a quote inside a quoted field is written twice";
        if self.at_end {
            let what = "a quoted field is never closed".to_owned();
            return Err(Fault {
                line: self.line + inner_lines,
                what,
                advice,
            });
        }
        if self.filled - self.start > MAX_RECORD_BYTES {
            let what = "a record of more than 16 MiB: is a closing quote missing?".to_owned();
            return Err(Fault {
                line: self.line,
                what,
                advice,
            });
        }
        Ok(Scan::NeedsMore)
    }

    fn stray_quote(&self, inner_lines: u64) -> Fault {
        Fault {
            line: self.line + inner_lines,
            what: "a quote stands inside a field or text follows a closing quote".to_owned(),
            advice: "put the whole field in quotes and write a quote inside it twice",
        }
    }

    /// Turns doubled quotes into single ones, in place.
    fn unescape(&mut self) {
        for span in self.fields.iter_mut().filter(|s| s.has_escapes) {
            let mut to = span.start;
            let mut from = span.start;
            while from < span.end {
                let byte = self.buffer[from];
                self.buffer[to] = byte;
                to += 1;
                from += if byte == b'"' { 2 } else { 1 };
            }
            span.end = to;
        }
    }

    /// Reads more, moving the unconsumed part to the front of the buffer.
    fn fill(&mut self) -> Result<(), Fault> {
        self.buffer.copy_within(self.start..self.filled, 0);
        self.filled -= self.start;
        self.start = 0;
        if self.buffer.len() - self.filled < READ_BYTES {
            self.buffer.resize(self.filled + READ_BYTES, 0);
        }
        match self.input.read(&mut self.buffer[self.filled..]) {
            Ok(0) => self.at_end = true,
            Ok(n) => self.filled += n,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => {
                let what = format!("reading failed: {e}");
                return Err(Fault {
                    line: self.line,
                    what,
                    advice: "check the disk and the file's permissions",
                });
            }
        }
        Ok(())
    }
}

/// The field whose opening quote is before `start`, and the line breaks in it; `None` if more input is needed.
fn quoted(bytes: &[u8], start: usize, at_end: bool) -> Option<(Span, u64)> {
    let (mut at, mut lines, mut has_escapes) = (start, 0, false);
    loop {
        match *bytes.get(at)? {
            b'"' if bytes.get(at + 1) == Some(&b'"') => {
                has_escapes = true;
                at += 2;
            }
            // The last byte read may be the first half of a doubled quote.
            b'"' if at + 1 == bytes.len() && !at_end => return None,
            b'"' => {
                return Some((
                    Span {
                        start,
                        end: at,
                        has_escapes,
                    },
                    lines,
                ));
            }
            byte => {
                lines += u64::from(byte == b'\n');
                at += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hands out its bytes a few at a time, so that every boundary is met.
    struct Drip<'a>(&'a [u8], usize);

    impl Read for Drip<'_> {
        fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
            let n = self.1.min(self.0.len()).min(out.len());
            out[..n].copy_from_slice(&self.0[..n]);
            self.0 = &self.0[n..];
            Ok(n)
        }
    }

    fn read(text: &[u8], step: usize) -> Result<Vec<(u64, Vec<String>)>, Fault> {
        let mut records = Records::new(Drip(text, step))?;
        let mut all = Vec::new();
        while let Some(record) = records.next()? {
            let fields =
                (0..record.len()).map(|i| String::from_utf8_lossy(record.field(i)).into_owned());
            all.push((record.line, fields.collect()));
        }
        Ok(all)
    }

    #[test]
    fn records_fields_and_line_numbers() {
        let text = b"\xEF\xBB\xBFa,b\r\n1,\"x, \"\"y\"\"\nz\"\n\n\"\",\r,\n2,3";
        let row = |line, fields: [&str; 2]| (line, fields.map(str::to_owned).to_vec());
        let expected = vec![
            row(1, ["a", "b"]),
            row(2, ["1", "x, \"y\"\nz"]),
            row(5, ["", ""]),
            row(6, ["", ""]),
            row(7, ["2", "3"]),
        ];
        for step in 1..text.len() {
            assert_eq!(
                read(text, step).expect("valid"),
                expected,
                "in steps of {step} bytes"
            );
        }
    }

    #[test]
    fn faults_name_their_line() {
        let cases: [(&[u8], u64, &str); 5] = [
            (b"a,b\n1,\"x\n2,3\n", 2, "never closed"),
            (b"a,b\n1,x\"y\n", 2, "stands inside"),
            (b"a,b\n\"1\"2,3\n", 2, "follows a closing quote"),
            (b"a\n\"\n\n\"x\n", 4, "follows a closing quote"),
            (b"\xFF\xFEa\0", 1, "UTF-16"),
        ];
        for (text, line, what) in cases {
            for step in [1, 7, 100] {
                let fault = read(text, step).expect_err("a fault");
                assert!(
                    fault.what.contains(what) && fault.line == line,
                    "{what}: {fault:?}"
                );
            }
        }
    }
}
