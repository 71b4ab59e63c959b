//! Compiles the protos without a `protoc` on the machine.

use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    for name in ["runtime_v1", "orlop_images_v1"] {
        let descriptors = protox::compile([format!("{name}.proto")], ["proto"])?;
        std::fs::write(out.join(format!("{name}.bin")), prost::Message::encode_to_vec(&descriptors))?;
        tonic_prost_build::configure().compile_fds(descriptors)?;
    }
    Ok(())
}
