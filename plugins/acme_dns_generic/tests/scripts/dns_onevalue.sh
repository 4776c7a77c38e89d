#!/usr/bin/env sh
# A provider that has one value for everything: each add replaces the one before it.
dns_onevalue_add() {
  printf 'server %s %s\nkey %s\nupdate delete %s TXT\nupdate add %s 1 TXT "%s"\nsend\n' \
    "$OV_Server" "$OV_Port" "$OV_Key" "$OV_Name" "$OV_Name" "$2" | nsupdate || return 1
  _info "replaced something"
}

dns_onevalue_rm() {
  printf 'server %s %s\nkey %s\nupdate delete %s TXT\nsend\n' \
    "$OV_Server" "$OV_Port" "$OV_Key" "$OV_Name" | nsupdate
}
