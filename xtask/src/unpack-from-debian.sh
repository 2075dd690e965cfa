# Unpacks a Rust compiler that knows WebAssembly into the working folder, from
# the Debian mirror that this machine already uses. Its own package state is
# private: nothing is installed. ROOT is where the folder will end up.
set -eu
mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.sources 2>/dev/null |
  awk '/^URIs:/ {uri=$2} /^Suites:/ {suites=$0} /^Signed-By:.*debian-archive/ && suites !~ /security/ {print uri; exit}
       $1=="deb" && $0 !~ /security/ {for (i=2;i<=NF;i++) if ($i ~ /^https?:/) {print $i; exit}}')
[ -n "$mirror" ] || { echo "no Debian mirror in the apt configuration" >&2; exit 1; }
mkdir -p apt/lists/partial apt/cache/archives/partial debs
: > apt/status
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror forky main" > apt/sources.list
set -- -qq -o Dir::State="$PWD/apt" -o Dir::State::lists="$PWD/apt/lists" -o Dir::State::status="$PWD/apt/status" \
  -o Dir::Cache="$PWD/apt/cache" -o Dir::Etc::sourcelist="$PWD/apt/sources.list" -o Dir::Etc::sourceparts=/dev/null \
  -o APT::Sandbox::User=root
apt-get "$@" update
# The suite moves, so the versioned names are read off the packages.
needed() { apt-cache "$@" depends "$package" | awk '$1=="Depends:" {print $2}' | grep -E "$pattern" || true; }
package=rustc pattern='^libstd-rust-1'; std=$(needed "$@")
[ -n "$std" ] || { package=libstd-rust-dev; std=$(needed "$@"); }
package=$std pattern='^libllvm'; llvm=$(needed "$@")
package=$llvm pattern='^libxml2'; xml=$(needed "$@")
(cd debs && apt-get "$@" download rustc libstd-rust-dev libstd-rust-dev-wasm32 $std $llvm $xml libc6 libgcc-s1 \
  libstdc++6 zlib1g libzstd1 libedit2 libtinfo6 libbsd0 libmd0 libffi8 libz3-4 liblzma5)
for deb in debs/*.deb; do dpkg -x "$deb" tree; done
rm -rf apt debs
lib=usr/lib/x86_64-linux-gnu
cat > rustc <<WRAPPER
#!/bin/sh
exec "$ROOT/tree/$lib/ld-linux-x86-64.so.2" --argv0 "$ROOT/tree/usr/bin/rustc" --library-path "$ROOT/tree/$lib" "$ROOT/tree/usr/bin/rustc" --sysroot "$ROOT/tree/usr" "\$@"
WRAPPER
chmod +x rustc
