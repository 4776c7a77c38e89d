#!/usr/bin/env sh
# Written for these tests, in the contract of acme.sh's dnsapi: dynamic updates by knsupdate.
dns_knsup_info='Knot for tests
Options:
 KN_Server Address of the server
 KN_Port Port of the server
 KN_Key Key, as ALGORITHM:NAME:SECRET
 KN_Zone The zone
'

dns_knsup_add() { _kn_update "update add $1. 1 TXT \"$2\""; }
dns_knsup_rm() { _kn_update "update del $1. TXT \"$2\""; }

_kn_update() {
  if ! _exists knsupdate; then
    _err "knsupdate is not installed"
    return 1
  fi
  _kn_file=$(_mktemp)
  if ! printf 'server %s %s\nzone %s\nkey %s\n%s\nsend\n' "$KN_Server" "$KN_Port" "$KN_Zone" "$KN_Key" "$1" |
    knsupdate >"$_kn_file" 2>&1; then
    _err "knsupdate: $(tr '\n' ' ' <"$_kn_file")"
    return 1
  fi
}
