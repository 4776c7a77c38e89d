# What a script written for acme.sh's dnsapi expects to find: its helper functions, for any POSIX shell.
# The runner sets CONF_… variables, sources this, the script, and calls dns_NAME_add or dns_NAME_rm.

PVEFW_MARK=$(printf '\036')
USER_AGENT=pvefw
HTTP_HEADER="$TMPDIR/http.header"
LE_WORKING_DIR=$TMPDIR
LE_CONFIG_HOME=$TMPDIR
ACCOUNT_CONF_PATH="$TMPDIR/account.conf"
DOMAIN_CONF="$TMPDIR/domain.conf"
: >"$HTTP_HEADER"
: >"$ACCOUNT_CONF_PATH"
: >"$DOMAIN_CONF"

# --- messages: one line each, marked, on standard error ---

_pvefw_say() { # LEVEL MESSAGE [VALUE]
    printf '%s%s%s\n' "$PVEFW_MARK" "$1" "$(printf '%s' "$2${3:+ $3}" | tr '\n\r' '  ')" >&2
}
_info() { _pvefw_say I "$@"; }
_log() { _pvefw_say I "$@"; }
_err() {
    _pvefw_say E "$@"
    return 1
}
_debug() { [ -z "$DEBUG" ] || _pvefw_say D "$@"; }
_debug2() { _debug "$@"; }
_debug3() { _debug "$@"; }
_secure_debug() { _debug "$1" "${2:+(hidden)}"; }
_secure_debug2() { _secure_debug "$@"; }
_secure_debug3() { _secure_debug "$@"; }
__green() { printf '%s' "$1"; }
__red() { printf '%s' "$1"; }

# --- configuration: variables of this shell only; nothing is written ---

_pvefw_conf() { eval "printf '%s' \"\${CONF_$1}\""; }
_pvefw_name() { # a key that is no name of a variable is nobody's
    case $1 in '' | [0-9]* | *[!A-Za-z0-9_]*) return 1 ;; esac
}
_pvefw_set() {
    _pvefw_name "$1" || return 1
    eval "CONF_$1=\$2"
}
_pvefw_get() {
    _pvefw_name "$1" || return 0
    _pvefw_conf "$1"
}
_readaccountconf() { _pvefw_get "$1"; }
_readaccountconf_mutable() { _pvefw_get "$1"; }
_readdomainconf() { _pvefw_get "$1"; }
_saveaccountconf() { _pvefw_set "$1" "$2"; }
_saveaccountconf_mutable() { _pvefw_set "$1" "$2"; }
_savedomainconf() { _pvefw_set "$1" "$2"; }
_clearaccountconf() { _pvefw_set "$1" ""; }
_clearaccountconf_mutable() { _pvefw_set "$1" ""; }
_cleardomainconf() { _pvefw_set "$1" ""; }

# --- text: filters from standard input to standard output ---

_contains() { printf '%s\n' "$1" | grep -q -- "$2"; }
_startswith() { printf '%s\n' "$1" | grep -q -- "^$2"; }
_endswith() { printf '%s\n' "$1" | grep -q -- "$2\$"; }
_egrep_o() { grep -oE -- "$1"; }
_head_n() { head -n "$1"; }
_tail_n() { tail -n "$1"; }
_sed_i() { sed -i -e "$1" "$2"; }
_lower_case() { tr '[:upper:]' '[:lower:]'; }
_upper_case() { tr '[:lower:]' '[:upper:]'; }
_getfield() { printf '%s\n' "$1" | cut -d "${3:-,}" -f "$2"; }
_url_replace() { tr '/+' '_-' | tr -d '= \n'; }
_math() { eval "printf '%s' \$(($*))"; }

# JSON on one line, with no white space outside of strings
_normalizeJson() {
    awk '
        { text = text $0 }
        END {
            for (i = 1; i <= length(text); i++) {
                c = substr(text, i, 1)
                if (quoted) {
                    printf "%s", c
                    if (escaped) escaped = 0
                    else if (c == "\\") escaped = 1
                    else if (c == "\"") quoted = 0
                } else if (c !~ /[ \t\r]/) {
                    printf "%s", c
                    quoted = (c == "\"")
                }
            }
        }'
}

# the escapes of a JSON string, undone
_json_decode() {
    awk '
        {
            out = ""
            for (i = 1; i <= length($0); i++) {
                c = substr($0, i, 1)
                if (c != "\\") { out = out c; continue }
                c = substr($0, ++i, 1)
                if (c == "n") out = out "\n"
                else if (c == "t") out = out "\t"
                else if (c == "r") out = out "\r"
                else out = out c
            }
            print out
        }'
}

# --- bytes ---

_hex_dump() { od -A n -v -t x1 | tr -d '\n' | sed 's/  */ /g; s/ $//'; }
_h2b() {
    _pvefw_hex=$(tr -d ' \n:')
    while [ -n "$_pvefw_hex" ]; do
        _pvefw_rest=${_pvefw_hex#??}
        printf "\\$(printf '%03o' "0x${_pvefw_hex%"$_pvefw_rest"}")"
        _pvefw_hex=$_pvefw_rest
    done
}
_base64() { # [multiline]
    if [ -n "$1" ]; then base64 -w 76; else base64 -w 0; fi
}
_dbase64() { base64 -di; }
_url_encode() { # [upper-hex]
    for _pvefw_byte in $(_hex_dump); do
        case $_pvefw_byte in
            2d | 2e | 5f | 7e | 3[0-9] | 4[1-9a-f] | 5[0-9a] | 6[1-9a-f] | 7[0-9a])
                printf "\\$(printf '%03o' "0x$_pvefw_byte")"
                ;;
            *)
                if [ "$1" = upper-hex ]; then
                    printf '%%%s' "$(printf '%s' "$_pvefw_byte" | _upper_case)"
                else
                    printf '%%%s' "$_pvefw_byte"
                fi
                ;;
        esac
    done
}

# --- digests and signatures: a secret is never an argument of a program ---

_pvefw_bare_hex() { _hex_dump | tr -d ' '; }
_digest() { # ALGORITHM [hex]
    if [ -n "$2" ]; then
        openssl dgst "-$1" -binary | _pvefw_bare_hex
    else
        openssl dgst "-$1" -binary | _base64
    fi
}
_pvefw_pad() { # KEY_IN_HEX BYTE BLOCK: each byte of the key, filled up with zeros, XOR the byte
    _pvefw_key=$1
    _pvefw_left=$3
    while [ "$_pvefw_left" -gt 0 ]; do
        _pvefw_rest=${_pvefw_key#??}
        _pvefw_one=${_pvefw_key%"$_pvefw_rest"}
        printf '%02x' "$((0x${_pvefw_one:-00} ^ $2))"
        _pvefw_key=$_pvefw_rest
        _pvefw_left=$((_pvefw_left - 1))
    done
}
_hmac() { # ALGORITHM SECRET_IN_HEX [hex]: RFC 2104
    case $1 in sha384 | sha512) _pvefw_block=128 ;; *) _pvefw_block=64 ;; esac
    _pvefw_secret=$(printf '%s' "$2" | tr -d ' \n')
    if [ "${#_pvefw_secret}" -gt $((_pvefw_block * 2)) ]; then
        _pvefw_secret=$(printf '%s' "$_pvefw_secret" | _h2b | _digest "$1" hex)
    fi
    _pvefw_inner=$({
        _pvefw_pad "$_pvefw_secret" 0x36 "$_pvefw_block" | _h2b
        cat
    } | _digest "$1" hex)
    {
        _pvefw_pad "$_pvefw_secret" 0x5c "$_pvefw_block"
        printf '%s' "$_pvefw_inner"
    } | _h2b | openssl dgst "-$1" -binary | if [ -n "$3" ]; then _pvefw_bare_hex; else cat; fi
}
_sign() { openssl dgst "-$2" -sign "$1" -binary | _base64; } # KEYFILE ALGORITHM
_isRSA() { openssl rsa -in "$1" -noout 2>/dev/null; }
_fingerprint() { openssl x509 -in "$1" -noout -fingerprint | cut -d = -f 2 | tr -d :; }

# --- the network: what curl is told goes through a pipe ---

_pvefw_quote() { # a value for curl's configuration file
    printf '"'
    printf '%s' "$1" | sed 's/\\/\\\\/g; s/"/\\"/g; s/\t/\\t/g; s/\r/\\r/g' |
        awk 'NR > 1 { printf "\\n" } { printf "%s", $0 }'
    case $1 in *'
') printf '\\n' ;; esac
    printf '"\n'
}
_pvefw_request() { # METHOD URL BODY CONTENT_TYPE ONLY_HEADER SECONDS
    {
        printf 'silent\nshow-error\nlocation\nmax-redirs = 5\n'
        printf 'connect-timeout = 20\nmax-time = %s\n' "${6:-60}"
        [ -z "$HTTPS_INSECURE" ] || printf 'insecure\n'
        printf 'user-agent = '
        _pvefw_quote "$USER_AGENT"
        printf 'dump-header = '
        _pvefw_quote "$HTTP_HEADER"
        for _pvefw_header in "$_H1" "$_H2" "$_H3" "$_H4" "$_H5"; do
            [ -n "$_pvefw_header" ] || continue
            printf 'header = '
            _pvefw_quote "$_pvefw_header"
        done
        if [ -n "$4" ]; then
            printf 'header = '
            _pvefw_quote "Content-Type: $4"
        fi
        printf 'request = '
        _pvefw_quote "$1"
        case $1 in
            GET | HEAD) ;;
            *)
                printf 'data-raw = '
                _pvefw_quote "$3"
                ;;
        esac
        [ -z "$5" ] || printf 'head\n'
        printf 'url = '
        _pvefw_quote "$2"
    } | curl --disable --config -
    _pvefw_status=$?
    if [ "$_pvefw_status" -eq 0 ]; then
        _pvefw_say R "$(sed -n 's/^HTTP\/[0-9.]* \([0-9]*\).*/\1/p' "$HTTP_HEADER" | tail -n 1)"
    else
        _pvefw_say R "curl $_pvefw_status"
    fi
    return "$_pvefw_status"
}
_post() { # BODY URL [needbase64] [METHOD] [CONTENT_TYPE]
    if [ -n "$3" ]; then
        _pvefw_request "${4:-POST}" "$2" "$1" "$5" | _base64
    else
        _pvefw_request "${4:-POST}" "$2" "$1" "$5"
    fi
}
_get() { # URL [ONLY_HEADER] [SECONDS]
    if [ -n "$2" ]; then
        _pvefw_request HEAD "$1" "" "" "$2" "$3" >/dev/null && cat "$HTTP_HEADER"
    else
        _pvefw_request GET "$1" "" "" "" "$3"
    fi
}
_resethttp() { _H1='' _H2='' _H3='' _H4='' _H5=''; }
_ns_lookup() { # NAME TYPE
    dig +short "$1" "$2"
}

# --- the rest ---

_sleep() { sleep "$1"; }
_time() { date -u +%s; }
_utc_date() { date -u '+%Y-%m-%d %H:%M:%S'; }
_exists() { command -v "$1" >/dev/null 2>&1 || return 1; }
_mktemp() { mktemp; }
_idn() {
    case $1 in
        *[!A-Za-z0-9.*_-]*) idn2 -- "$1" 2>/dev/null || idn -- "$1" ;;
        *) printf '%s' "$1" ;;
    esac
}
