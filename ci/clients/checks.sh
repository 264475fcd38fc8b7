# shellcheck shell=bash
# shellcheck disable=SC2154 # what is not assigned here comes in the environment, from run
# The command-line clients of ci/clients/run, one function for each check, and the files that they fetch. A function
# runs in an empty folder and fails with the first command that does; '!' is no such command, unless it is the last.

# Lines of FUNCTION NAME, in the order in which they run.
list_checks() {
    cat <<'END'
curl_get curl: GET
curl_head curl: HEAD
curl_post curl: POST with a length
curl_post_chunked curl: POST in chunks
curl_put curl: PUT
curl_put_large curl: upload of 20 MB by PUT with a length
curl_put_large_chunked curl: upload of 20 MB in chunks
curl_get_large curl: download of 20 MB
curl_get_large_slowly curl: download of 20 MB, slow reader
curl_delete curl: DELETE
curl_options curl: OPTIONS, also about the whole server
curl_keep_alive curl: several URLs over one connection
curl_parallel curl: many at once
curl_tunnel curl: plain HTTP through a tunnel
curl_https curl: HTTPS through a tunnel
curl_https_large curl: upload and download of 20 MB over HTTPS
curl_http10 curl: HTTP/1.0
curl_http10_chunked_answer curl: HTTP/1.0, to a chunked answer
curl_range curl: Range, and resuming
curl_expect curl: Expect, with an origin that waits for it
curl_expect_refused curl: Expect, refused before the upload
curl_chunked_answer curl: chunked answer with a trailer
curl_until_close curl: answer that ends with the connection
curl_redirect curl: redirect
curl_unknown_name curl: a name that nobody knows
curl_refused curl: a port that nobody listens on
curl_to_the_proxy curl: a request to the proxy itself
curl_https_url_without_tunnel curl: an https URL asked for without a tunnel
wget_get wget: download of 20 MB
wget_mirror wget: a folder with links
wget_https wget: HTTPS
wget_continue wget: resuming
git_clone git: clone
git_clone_dumb git: clone from plain files
git_push git: push in chunks
git_clone_https git: clone over HTTPS
apt_update apt: update and download
pip_download pip: download from an index
pip_download_https pip: download from an index over HTTPS
npm_install npm: install from a URL
END
}

make_files() {
    local folder=$work/files
    mkdir -p "$folder/links" "$folder/apt" "$folder/simple/ringway-probe" "$work/package/DEBIAN"
    head -c 20000000 /dev/urandom >"$work/upload"
    for number in 1 2 3 4 5 6 7 8 9; do echo "file $number" >"$folder/links/$number.txt"; done

    export GIT_CONFIG_GLOBAL=$work/gitconfig GIT_CONFIG_NOSYSTEM=1
    git config --global user.name somebody
    git config --global user.email somebody@origin.test
    git config --global init.defaultBranch main
    git config --global --add safe.directory '*'
    git init --quiet "$work/source"
    head -c 3000000 /dev/urandom >"$work/source/large"
    for number in $(seq 50); do
        echo "line $number" >>"$work/source/file"
        git -C "$work/source" add . && git -C "$work/source" commit --quiet -m "commit $number"
    done
    git clone --quiet --bare "$work/source" "$folder/repository.git"
    git -C "$folder/repository.git" config http.receivepack true
    git -C "$folder/repository.git" update-server-info

    printf 'Package: ringway-probe\nVersion: 1\nArchitecture: all\nMaintainer: nobody <nobody@origin.test>\n%s\n' \
        'Description: nothing' >"$work/package/DEBIAN/control"
    head -c 300000 /dev/urandom >"$work/package/content"
    dpkg-deb --build "$work/package" "$folder/apt/probe.deb" >/dev/null
    {
        cat "$work/package/DEBIAN/control"
        printf 'Filename: ./probe.deb\nSize: %s\nSHA256: %s\n' "$(stat -c %s "$folder/apt/probe.deb")" \
            "$(sha256sum "$folder/apt/probe.deb" | cut -d' ' -f1)"
    } >"$folder/apt/Packages"

    "$python" - "$folder/simple/ringway-probe/ringway_probe-1-py3-none-any.whl" <<'END'
import os, sys, zipfile
with zipfile.ZipFile(sys.argv[1], "w") as wheel:
    wheel.writestr("ringway_probe.bin", os.urandom(300_000))
    wheel.writestr("ringway_probe-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: ringway-probe\nVersion: 1\n")
    wheel.writestr("ringway_probe-1.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    wheel.writestr("ringway_probe-1.dist-info/RECORD", "")
END
    mkdir -p "$work/npm-source/package"
    echo '{"name": "ringway-probe", "version": "1.0.0"}' >"$work/npm-source/package/package.json"
    tar -czf "$folder/probe.tgz" -C "$work/npm-source" package
}

through_proxy() { curl --disable --silent --show-error --fail --max-time 60 --noproxy '' --proxy "$proxy_url" "$@"; }
sha256() { sha256sum | cut -d' ' -f1; }
# Whether what /hash has answered, on standard input, is what was uploaded.
is_upload() { grep -q "\"sha256\": \"$(sha256 <"$work/upload")\", \"bytes\": 20000000, \"framing\": \"$1\""; }

curl_get() {
    [ "$(through_proxy -D head "$http/hello")" = hello ]
    grep -qi '^x-via: 1.1 ringway' head
    grep -qi '^via: 1.[01] ringway' head
}
curl_head() {
    through_proxy --head "$http/large" >fields
    grep -qi '^content-length: 20000000' fields
}
curl_post() { through_proxy -d 'a=b&c=d' "$http/echo" | grep -q '"method": "POST", "body": "a=b&c=d"'; }
curl_post_chunked() {
    through_proxy -H 'Transfer-Encoding: chunked' -d 'a=b&c=d' "$http/echo" | grep -q '"body": "a=b&c=d"'
    printf 'from a pipe' | through_proxy -T - -X POST "$http/hash" | grep -q '"bytes": 11, "framing": "chunked"'
}
curl_put() { through_proxy -X PUT -d content "$http/echo" | grep -q '"method": "PUT", "body": "content"'; }
curl_put_large() { through_proxy -T "$work/upload" "$http/hash" | is_upload length; }
curl_put_large_chunked() { through_proxy -H 'Expect:' -T - "$http/hash" <"$work/upload" | is_upload chunked; }
curl_get_large() { [ "$(through_proxy "$http/large" | sha256)" = "$large_sha256" ]; }
curl_get_large_slowly() { [ "$(through_proxy --limit-rate 8M "$http/large" | sha256)" = "$large_sha256" ]; }
curl_delete() { through_proxy -X DELETE "$http/echo" | grep -q '"method": "DELETE"'; }
curl_options() {
    through_proxy -X OPTIONS "$http/echo" | grep -q '"method": "OPTIONS"'
    # The origin knows no such path, which shows that it was asked.
    ! through_proxy -X OPTIONS --request-target "$http" "$http" 2>error
    grep -q 404 error
}
curl_keep_alive() {
    through_proxy -w '%{num_connects}\n' -o /dev/null "$http/hello?[1-9]" >connects
    [ "$(awk '{ sum += $1 } END { print sum }' connects)" = 1 ]
    through_proxy -D heads -o /dev/null "$http/hello?[1-9]"
    [ "$(grep -i '^x-connection' heads | sort -u | wc -l)" = 1 ]
    through_proxy -w '%{num_connects} ' -o /dev/null -o /dev/null -d a=b "$http/hash" "$http/hello" >connects
    [ "$(cat connects)" = '1 0 ' ]
}
curl_parallel() {
    through_proxy --parallel --parallel-max 40 -o 'part#1' "$http/hello?[1-200]"
    [ "$(cat part* | grep -c '^hello$')" = 200 ]
}
curl_tunnel() {
    [ "$(through_proxy --proxytunnel -D head "$http/hello")" = hello ]
    grep -qi '^x-via: none' head
}
curl_https() { [ "$(through_proxy --cacert "$certificate" "$https/hello" "$https/hello" | grep -c hello)" = 2 ]; }
curl_https_large() {
    through_proxy --cacert "$certificate" -T "$work/upload" "$https/hash" | is_upload length
    [ "$(through_proxy --cacert "$certificate" "$https/large" | sha256)" = "$large_sha256" ]
}
curl_http10() {
    [ "$(through_proxy --http1.0 -D head "$http/hello")" = hello ]
    through_proxy --http1.0 -d content "$http/echo" | grep -q '"body": "content"'
    [ "$(through_proxy --http1.0 "$http/large" | sha256)" = "$large_sha256" ]
}
curl_http10_chunked_answer() {
    [ "$(through_proxy --http1.0 -D head "$http/chunked" | wc -l)" = 1000 ]
    ! grep -i '^transfer-encoding' head
}
curl_range() {
    [ "$(through_proxy -r 100-199 "$http/large" | wc -c)" = 100 ]
    through_proxy -r 0-6999999 -o large "$http/large"
    through_proxy -C - -o large "$http/large"
    [ "$(sha256 <large)" = "$large_sha256" ]
}
curl_expect() {
    through_proxy --expect100-timeout 30 -H 'Expect: 100-continue' -D head -T "$work/upload" "$http/hash" >seen
    is_upload length <seen
    grep -q '^HTTP/1.1 100' head
    grep -q '^HTTP/1.1 200' head
}
curl_expect_refused() {
    ! through_proxy --expect100-timeout 30 -H 'Expect: 100-continue' -T "$work/upload" -w '%{size_upload}' \
        "$http/refuse-upload" >uploaded 2>error
    grep -q 413 error
    [ "$(cat uploaded)" = 0 ]
}
curl_chunked_answer() {
    [ "$(through_proxy -D head "$http/chunked" | tail -n 1)" = 'line 999' ]
    grep -qi '^x-sum: 1000' head
}
curl_until_close() { [ "$(through_proxy "$http/until-close" | wc -c)" = 100000 ]; }
curl_redirect() {
    [ "$(through_proxy -o /dev/null -w '%{http_code}' "$http/redirect")" = 302 ]
    [ "$(through_proxy -L "$http/redirect")" = hello ]
}
# The status that curl gets for a request that the proxy refuses.
refused_with() { curl --disable --silent --noproxy '' -o /dev/null --max-time 20 -w '%{http_code}' "$@" || true; }
curl_unknown_name() { [ "$(refused_with --proxy "$proxy_url" http://unknown.test/)" = 502 ]; }
curl_refused() { [ "$(refused_with --proxy "$proxy_url" http://127.0.0.1:1/)" = 502 ]; }
curl_to_the_proxy() {
    [ "$(refused_with "$proxy_url/")" = 400 ]
    curl --disable --silent --noproxy '' "$proxy_url/" | grep -qi proxy
}
curl_https_url_without_tunnel() {
    [ "$(refused_with --proxy "$proxy_url" --request-target "$https/hello" "$http/hello")" = 501 ]
}

with_wget() { http_proxy=$proxy_url https_proxy=$proxy_url wget --no-config --tries 1 --timeout 30 "$@"; }
wget_get() { with_wget "$http/large" && [ "$(sha256 <large)" = "$large_sha256" ]; }
wget_mirror() { with_wget -r -l 1 -np -nH "$http/files/links/" && [ "$(cat files/links/*.txt | wc -l)" = 9 ]; }
wget_https() { with_wget --ca-certificate "$certificate" "$https/hello" && grep -q hello hello; }
wget_continue() {
    through_proxy -r 0-4999999 -o large "$http/large"
    with_wget -c "$http/large" && [ "$(sha256 <large)" = "$large_sha256" ]
}

# What this machine has set for its own use of git and pip is left out.
bare() { env -i PATH="$PATH" HOME="$PWD" "$@"; }
with_git() {
    bare GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL="$GIT_CONFIG_GLOBAL" \
        git -c http.proxy="$proxy_url" -c http.sslCAInfo="$certificate" "$@"
}
is_cloned() { [ "$(git -C "$1" rev-parse HEAD)" = "$(git -C "$work/source" rev-parse HEAD)" ] && git -C "$1" fsck; }
git_clone() { with_git clone "$http/git/repository.git" clone && is_cloned clone; }
git_clone_dumb() { with_git clone "$http/files/repository.git" clone && is_cloned clone; }
git_clone_https() { with_git clone "$https/git/repository.git" clone && is_cloned clone; }
git_push() {
    with_git clone "$http/git/repository.git" clone
    head -c 2000000 /dev/urandom >clone/pushed
    git -C clone add pushed && git -C clone commit -m pushed
    with_git -C clone -c http.postBuffer=4096 push origin HEAD:refs/heads/pushed
    [ "$(git -C "$work/files/repository.git" rev-parse pushed)" = "$(git -C clone rev-parse HEAD)" ]
}

apt_update() {
    mkdir -p state/lists/partial cache/archives/partial parts
    echo "deb [trusted=yes] $http/files/apt ./" >sources.list
    local options=(-o "Dir::Etc::SourceList=$PWD/sources.list" -o "Dir::Etc::SourceParts=$PWD/parts"
        -o "Dir::State=$PWD/state" -o "Dir::Cache=$PWD/cache" -o "Dir::State::Status=/dev/null" -o Debug::NoLocking=1
        -o "Acquire::http::Proxy=$proxy_url" -o Acquire::Retries=0 -o APT::Sandbox::User="$(id -un)"
        -o Acquire::Languages=none)
    apt-get "${options[@]}" update
    apt-get "${options[@]}" download ringway-probe
    cmp ringway-probe_1_all.deb "$work/files/apt/probe.deb"
}

with_pip() {
    bare PIP_CONFIG_FILE=/dev/null "$python" -m pip download --no-cache-dir --disable-pip-version-check --no-deps \
        --retries 0 --proxy "$proxy_url" --cert "$certificate" "$@" ringway-probe
    cmp ringway_probe-1-py3-none-any.whl "$work/files/simple/ringway-probe/ringway_probe-1-py3-none-any.whl"
}
pip_download() { with_pip --trusted-host origin.test --index-url "$http/files/simple/"; }
pip_download_https() { with_pip --index-url "$https/files/simple/"; }

npm_install() {
    : >npmrc
    echo '{"name": "empty", "version": "1.0.0"}' >package.json
    npm --userconfig npmrc --cache cache --no-audit --no-fund --proxy "$proxy_url" --fetch-retries 0 \
        install "$http/files/probe.tgz"
    [ -f node_modules/ringway-probe/package.json ]
}
