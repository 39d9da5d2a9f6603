//! The volume descriptors of an ISO 9660 image: enough to know its labels and whether all of it is there.
//!
//! ECMA-119, sections 8.1 to 8.5: descriptors of 2048 bytes each from sector 16 on, the last of type 255.

use std::fmt;
use std::io;
use std::os::unix::fs::FileExt;

const SECTOR: u64 = 2048;
const FIRST_DESCRIPTOR: u64 = 16;
/// Images have two to four descriptors; a bound for rubbish that never ends.
const MOST_DESCRIPTORS: u64 = 32;
const PRIMARY: u8 = 1;
const SUPPLEMENTARY: u8 = 2;
const TERMINATOR: u8 = 255;

/// What the descriptors say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// The volume's name in the primary descriptor: upper-case as the standard wants it, or as the tool left it.
    pub label: String,
    /// The name in the Joliet descriptor, if there is one.
    pub joliet_label: Option<String>,
    /// Bytes of the file system; the image must have at least as many.
    pub size: u64,
}

impl Volume {
    /// Whether the volume carries the label. Case does not count: some tools raise it.
    pub fn has_label(&self, wanted: &str) -> bool {
        let joliet = self.joliet_label.as_deref();
        self.label.eq_ignore_ascii_case(wanted)
            || joliet.is_some_and(|label| label.eq_ignore_ascii_case(wanted))
    }
}

impl fmt::Display for Volume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "\"{}\"",
            self.joliet_label.as_ref().unwrap_or(&self.label)
        )
    }
}

/// Reads the descriptors. `None`: this is no ISO 9660 image (which includes one too short to tell).
pub fn read_volume(image: &impl FileExt) -> io::Result<Option<Volume>> {
    let mut volume: Option<Volume> = None;
    for index in 0..MOST_DESCRIPTORS {
        let mut sector = [0; SECTOR as usize];
        match image.read_exact_at(&mut sector, (FIRST_DESCRIPTOR + index) * SECTOR) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
            // A bad sector behind a good primary descriptor costs the Joliet name, no more.
            Err(_) if volume.is_some() => break,
            Err(error) => return Err(error),
        }
        if &sector[1..6] != b"CD001" {
            break;
        }
        match (sector[0], &mut volume) {
            (PRIMARY, None) => volume = Some(primary(&sector)),
            (SUPPLEMENTARY, Some(volume)) if is_joliet(&sector) => {
                volume.joliet_label = Some(ucs2(&sector[40..72]));
            }
            (TERMINATOR, _) => break,
            _ => {}
        }
    }
    Ok(volume)
}

fn primary(sector: &[u8]) -> Volume {
    // Numbers are recorded in both byte orders; the little-endian copy comes first.
    let blocks = u32::from_le_bytes([sector[80], sector[81], sector[82], sector[83]]);
    let block_size = u16::from_le_bytes([sector[128], sector[129]]);
    Volume {
        label: String::from_utf8_lossy(&sector[40..72])
            .trim_end_matches([' ', '\0'])
            .to_string(),
        joliet_label: None,
        size: u64::from(blocks) * u64::from(block_size),
    }
}

/// Joliet is marked by one of three escape sequences for UCS-2.
fn is_joliet(sector: &[u8]) -> bool {
    matches!(&sector[88..91], b"%/@" | b"%/C" | b"%/E")
}

fn ucs2(bytes: &[u8]) -> String {
    let units: Vec<u16> = bytes
        .chunks_exact(2)
        .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
        .collect();
    String::from_utf16_lossy(&units)
        .trim_end_matches([' ', '\0'])
        .to_string()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::fs::File;
    use std::io::Write;

    /// An image of descriptors alone: what a probe reads, nothing a kernel would mount.
    pub(crate) fn image(label: &str, joliet: Option<&str>, blocks: u32) -> Vec<u8> {
        let mut image = vec![0; (FIRST_DESCRIPTOR * SECTOR) as usize];
        let mut descriptor = |kind: u8, name: &[u8], escape: &[u8]| {
            let mut sector = vec![0; SECTOR as usize];
            sector[0] = kind;
            sector[1..6].copy_from_slice(b"CD001");
            sector[40..72].fill(b' ');
            sector[40..40 + name.len()].copy_from_slice(name);
            sector[80..84].copy_from_slice(&blocks.to_le_bytes());
            sector[88..88 + escape.len()].copy_from_slice(escape);
            sector[128..130].copy_from_slice(&2048u16.to_le_bytes());
            image.extend(sector);
        };
        descriptor(PRIMARY, label.as_bytes(), b"");
        if let Some(joliet) = joliet {
            let name: Vec<u8> = joliet.encode_utf16().flat_map(u16::to_be_bytes).collect();
            let mut padded = name.clone();
            padded.resize(32, 0);
            descriptor(SUPPLEMENTARY, &padded, b"%/E");
        }
        descriptor(TERMINATOR, b"", b"");
        image
    }

    fn read(bytes: &[u8]) -> Option<Volume> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        read_volume(&file).unwrap()
    }

    #[test]
    fn label_and_size_come_from_the_primary_descriptor() {
        let volume = read(&image("STACKBUNDLE", None, 500)).unwrap();
        assert_eq!(volume.label, "STACKBUNDLE");
        assert_eq!(volume.size, 500 * 2048);
        assert!(volume.has_label("STACKBUNDLE"));
        assert!(!volume.has_label("STACK"));
    }

    #[test]
    fn a_joliet_name_counts_as_well() {
        let volume = read(&image("CDROM", Some("StackBundle"), 500)).unwrap();
        assert_eq!(volume.joliet_label.as_deref(), Some("StackBundle"));
        assert!(volume.has_label("STACKBUNDLE"));
        assert!(volume.has_label("CDROM"));
    }

    #[test]
    fn anything_else_is_no_volume() {
        assert_eq!(read(b""), None);
        assert_eq!(read(&[0; 40 * 2048]), None);
        assert_eq!(read(&image("X", None, 5)[..16 * 2048 + 100]), None);
    }

    #[test]
    fn an_image_that_xorriso_made_is_read() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), "content").unwrap();
        let iso = folder.path().join("bundle.iso");
        let made = std::process::Command::new("xorriso")
            .args(["-as", "mkisofs", "-quiet", "-V", "STACKBUNDLE", "-J", "-r"])
            .arg("-o")
            .arg(&iso)
            .arg(folder.path().join("file"))
            .output();
        // The descriptors above are written after the standard; this one checks that reading of it, where it can.
        let Ok(made) = made else {
            eprintln!("skipped: xorriso is not installed");
            return;
        };
        assert!(made.status.success(), "{made:?}");
        let volume = read_volume(&File::open(&iso).unwrap()).unwrap().unwrap();
        assert!(volume.has_label("STACKBUNDLE"), "{volume:?}");
        assert!(volume.size <= std::fs::metadata(&iso).unwrap().len());
        assert!(volume.size > 20 * 2048);
    }
}
