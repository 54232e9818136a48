//! Corpora for benchmarks: large data, generated quickly from a seed.
//!
//! Layers are incompressible bytes with the media type of a gzip layer. To a program that stores
//! them they look like real layers, and nothing unpacks them.

use super::layers::Layer;
use super::layout::{Kind, Layout};
use super::recipe;
use crate::shell::Failed;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::Path;

const MIB: u64 = 1 << 20;
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const BARE: &str = "application/vnd.oci.image.layer.v1.tar";

/// Number of artifacts in the set.
const ARTIFACTS: u64 = 60;
const BASES: u64 = 6;

/// Builds 60 images over 6 bases of three layers: about 3 GB of unique blobs.
pub fn set(dir: &Path) -> Result<(), Failed> {
    let mut layout = Layout::new(dir)?;
    let mut bases: Vec<Vec<Layer>> = Vec::new();
    for base in 0..BASES {
        let sizes = [96 * MIB, 48 * MIB, 12 * MIB];
        let layers = (0u64..).zip(sizes).map(|(n, size)| layer(&mut layout, dir, base * 100 + n, size));
        bases.push(layers.collect::<Result<_, _>>()?);
    }
    for number in 0..ARTIFACTS {
        // From 4 to 63 MiB, evenly distributed and not sorted. With the small second layer 2 GB in
        // total.
        let size = 4 * MIB + (number * 37 % ARTIFACTS) * MIB;
        let mut layers = bases[usize::try_from(number % BASES).unwrap_or(0)].clone();
        layers.push(layer(&mut layout, dir, 10_000 + number, size)?);
        layers.push(layer(&mut layout, dir, 20_000 + number, 3 * MIB / 100 + number)?);
        let image = recipe::image(&mut layout, "amd64", &layers, &format!("bench {number}"))?;
        layout.publish(&format!("bench/app{number:02}"), Some("1.0"), &image, Kind("image"), None);
    }
    layout.finish()
}

/// Builds one image with a single layer of 2 GiB.
pub fn large(dir: &Path) -> Result<(), Failed> {
    single(dir, 2048)
}

/// Builds one image with a single layer of `mib` MiB.
pub fn single(dir: &Path, mib: u64) -> Result<(), Failed> {
    let mut layout = Layout::new(dir)?;
    let layers = [layer(&mut layout, dir, 1, mib * MIB)?];
    let image = recipe::image(&mut layout, "amd64", &layers, "bench large")?;
    layout.publish("bench/large", Some("1.0"), &image, Kind("image"), None);
    layout.finish()
}

/// Builds one image with a single uncompressed layer of `gib` GiB: one MiB of noise in every 32,
/// the rest a hole.
pub fn sparse(dir: &Path, gib: u64) -> Result<(), Failed> {
    let mut layout = Layout::new(dir)?;
    let layers = [holes(&mut layout, dir, gib, gib << 30, 32 << 20)?];
    let image = recipe::image(&mut layout, "amd64", &layers, "bench sparse")?;
    layout.publish(&format!("bench/sparse{gib}"), Some("1.0"), &image, Kind("image"), None);
    layout.finish()
}

/// Builds one image with 16 uncompressed layers of 2 GiB, nearly all of them holes.
pub fn many(dir: &Path) -> Result<(), Failed> {
    let mut layout = Layout::new(dir)?;
    let layers: Result<Vec<Layer>, Failed> =
        (0..16).map(|seed| holes(&mut layout, dir, 100 + seed, 2 << 30, 256 << 20)).collect();
    let image = recipe::image(&mut layout, "amd64", &layers?, "bench many")?;
    layout.publish("bench/many", Some("1.0"), &image, Kind("image"), None);
    layout.finish()
}

/// Builds one image with 48 layers of 32 MiB.
pub fn even(dir: &Path) -> Result<(), Failed> {
    let mut layout = Layout::new(dir)?;
    let layers: Result<Vec<Layer>, Failed> =
        (0..48).map(|seed| layer(&mut layout, dir, 300 + seed, 32 * MIB)).collect();
    let image = recipe::image(&mut layout, "amd64", &layers?, "bench even")?;
    layout.publish("bench/even", Some("1.0"), &image, Kind("image"), None);
    layout.finish()
}

/// Builds `images` images of 10,000 layers each, of 100 to 1123 bytes.
pub fn crowd(dir: &Path, images: u64) -> Result<(), Failed> {
    let mut layout = Layout::new(dir)?;
    for number in 0..images {
        let mut layers = Vec::with_capacity(10_000);
        for index in 0..10_000 {
            let mut state = number * 10_000 + index;
            let mut content = vec![0; 1128];
            fill(&mut state, &mut content);
            content.truncate(100 + usize::from(content[0]) * 4);
            let descriptor = layout.bytes(LAYER, &content)?;
            let diff_id = descriptor["digest"].as_str().unwrap_or_default().to_owned();
            layers.push(Layer { descriptor, diff_id });
        }
        let image = recipe::image(&mut layout, "amd64", &layers, &format!("bench crowd {number}"))?;
        layout.publish(&format!("bench/crowd{number}"), Some("1.0"), &image, Kind("image"), None);
    }
    layout.finish()
}

/// Builds `images` images of one small layer each, each in its own repository.
pub fn artifacts(dir: &Path, images: u64) -> Result<(), Failed> {
    let mut layout = Layout::new(dir)?;
    for number in 0..images {
        let mut state = number;
        let mut content = vec![0; 512];
        fill(&mut state, &mut content);
        let descriptor = layout.bytes(LAYER, &content)?;
        let diff_id = descriptor["digest"].as_str().unwrap_or_default().to_owned();
        let layers = [Layer { descriptor, diff_id }];
        let image = recipe::image(&mut layout, "amd64", &layers, &format!("bench artifact {number}"))?;
        layout.publish(&format!("bench/artifact{number}"), Some("1.0"), &image, Kind("image"), None);
    }
    layout.finish()
}

/// Adds an uncompressed layer of `size` bytes: one MiB of noise in every `step` bytes, the rest a
/// hole.
fn holes(layout: &mut Layout, dir: &Path, seed: u64, size: u64, step: usize) -> Result<Layer, Failed> {
    let path = dir.join("layer.partial");
    let mut file = std::fs::File::create(&path)?;
    file.set_len(size)?;
    let (mut state, mut block) = (seed, vec![0; 1 << 20]);
    for at in (0..size).step_by(step) {
        fill(&mut state, &mut block);
        file.seek(SeekFrom::Start(at))?;
        file.write_all(&block)?;
    }
    drop(file);
    let descriptor = layout.file(BARE, &path)?;
    let diff_id = descriptor["digest"].as_str().unwrap_or_default().to_owned();
    Ok(Layer { descriptor, diff_id })
}

fn layer(layout: &mut Layout, dir: &Path, seed: u64, size: u64) -> Result<Layer, Failed> {
    let path = dir.join("layer.partial");
    let mut file = std::fs::File::create(&path)?;
    let mut state = seed;
    let mut left = size;
    let mut block = vec![0; 1 << 20];
    while left > 0 {
        fill(&mut state, &mut block);
        let take = left.min(block.len() as u64);
        file.write_all(&block[..usize::try_from(take).unwrap_or(block.len())])?;
        left -= take;
    }
    drop(file);
    let descriptor = layout.file(LAYER, &path)?;
    let diff_id = descriptor["digest"].as_str().unwrap_or_default().to_owned();
    Ok(Layer { descriptor, diff_id })
}

/// Fills `block` by SplitMix64: eight bytes per step, the same on every run.
pub fn fill(state: &mut u64, block: &mut [u8]) {
    for word in block.chunks_exact_mut(8) {
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word.copy_from_slice(&(z ^ (z >> 31)).to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_repeats_itself_and_seeds_differ() {
        let make = |seed| {
            let (mut state, mut block) = (seed, vec![0; 4096]);
            fill(&mut state, &mut block);
            block
        };
        assert_eq!(make(1), make(1));
        assert_ne!(make(1), make(2));
    }
}
