//! What a component may import, by name, and how the rest is refused.

use super::Refused;

/// Interfaces of the contract that any plugin may import.
const CONTRACT: [&str; 4] =
    ["assay:plugin/types@0.1.0", "assay:plugin/lifecycle@0.1.0", "assay:plugin/log@0.1.0", JUDGE];

/// Imported by plugins that ask a model. Which models a plugin may ask is the
/// daemon's to say, call by call.
pub const JUDGE: &str = "assay:plugin/judge@0.1.0";

/// Language runtimes cannot do without these. Each is linked, and inert: no
/// file, no environment, no argument, no socket.
const INERT_WASI: [&str; 27] = [
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:filesystem/preopens",
    "wasi:filesystem/types",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:random/random",
    "wasi:sockets/instance-network",
    "wasi:sockets/ip-name-lookup",
    "wasi:sockets/network",
    "wasi:sockets/tcp",
    "wasi:sockets/tcp-create-socket",
    "wasi:sockets/udp",
    "wasi:sockets/udp-create-socket",
];

/// Whether the name is of an inert WASI interface, version 0.2.
pub fn is_inert_wasi(import: &str) -> bool {
    let Some((interface, version)) = import.split_once('@') else { return false };
    version.starts_with("0.2.") && INERT_WASI.contains(&interface)
}

/// Refuses, by name, the first import that is not allowed.
pub fn check<'a>(imports: impl Iterator<Item = &'a str>) -> Result<(), Refused> {
    for import in imports {
        if CONTRACT.contains(&import) || is_inert_wasi(import) {
            continue;
        }
        return Err(Refused(if import.starts_with("assay:plugin/") {
            format!("imports `{import}`: this host does not know that interface or version")
        } else {
            format!("imports `{import}`: not allowed in the sandbox")
        }));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_and_unknown_packages_are_refused_by_name() {
        for import in ["wasi:http/outgoing-handler@0.2.0", "acme:billing/pay", "wasi:cli/environment@0.3.0"] {
            let refused = check([import].into_iter()).expect_err("not allowed");
            assert!(refused.0.contains(import) && refused.0.contains("not allowed"), "{refused}");
        }
    }

    #[test]
    fn another_version_of_the_contract_is_told_from_what_is_not_allowed() {
        let later = check(["assay:plugin/log@0.2.0"].into_iter()).expect_err("unknown");
        assert!(later.0.contains("does not know"), "{later}");
        assert_eq!(check(["assay:plugin/log@0.1.0", JUDGE, "wasi:io/poll@0.2.6"].into_iter()), Ok(()));
    }
}
