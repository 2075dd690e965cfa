//! Components that tests make themselves.

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{ManglingAndAbi, Resolve};

/// A number as WebAssembly writes it.
pub fn leb(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (value & 0x7f) as u8;
        value >>= 7;
        bytes.push(if value == 0 { low } else { low | 0x80 });
        if value == 0 {
            return bytes;
        }
    }
}

/// A section of a module or component.
pub fn section(id: u8, content: &[u8]) -> Vec<u8> {
    [vec![id], leb(content.len()), content.to_vec()].concat()
}

/// A component around one core module whose functions all have this body.
pub fn with_functions(count: usize, body: &[u8]) -> Vec<u8> {
    let sized = [leb(body.len()), body.to_vec()].concat();
    let module = [
        b"\0asm\x01\0\0\0".to_vec(),
        section(1, &[1, 0x60, 0, 0]),
        section(3, &[leb(count), vec![0; count]].concat()),
        section(10, &[leb(count), sized.repeat(count)].concat()),
    ]
    .concat();
    [b"\0asm\x0d\0\x01\0".to_vec(), section(1, &module)].concat()
}

/// A whole plugin of traps, with more text in its core module.
pub fn plugin_with(more: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(super::root().join("wit/v0.1.0")).expect("the contract parses");
    let world = resolve.select_world(&[package], Some("scorer")).expect("a world");
    let module = wit_component::dummy_module(&resolve, world, ManglingAndAbi::Standard32);
    let text = wasmprinter::print_bytes(&module).expect("printed");
    let text = text.trim_end().strip_suffix(')').expect("a module").to_owned() + more + ")";
    let mut module = wat::parse_str(text).expect("assembled");
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false).expect("embedded");
    ComponentEncoder::default().module(&module).expect("a module").encode().expect("a component")
}

/// A whole plugin of traps, with more text in its component.
pub fn around(more: &str) -> Vec<u8> {
    let text = wasmprinter::print_bytes(plugin_with("")).expect("printed");
    let text = text.trim_end().strip_suffix(')').expect("a component").to_owned() + more + ")";
    wat::parse_str(text).expect("assembled")
}

/// An empty component that asks for an interface.
pub fn importing(import: &str) -> Vec<u8> {
    wat::parse_str(format!("(component (import \"{import}\" (instance)))")).expect("assembled")
}

/// Components in one another, so many in all.
pub fn nested(count: usize) -> Vec<u8> {
    wat::parse_str("(component ".repeat(count) + &")".repeat(count)).expect("assembled")
}

/// The hostile plugin, lying about this when it is asked what it is.
pub fn liar(about: &str) -> Vec<u8> {
    const MARK: &[u8] = b"assay-hostile-lies-about:";
    const ROOM: usize = 48 - MARK.len();
    let mut component = super::component("hostile");
    let at = component.windows(MARK.len()).position(|part| part == MARK).expect("the mark is there");
    component[at + MARK.len()..][..ROOM].copy_from_slice(format!("{about:ROOM$}").as_bytes());
    component
}
