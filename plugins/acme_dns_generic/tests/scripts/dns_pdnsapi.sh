#!/usr/bin/env sh
# Written for these tests, in the contract of acme.sh's dnsapi: PowerDNS through its HTTP API.
dns_pdnsapi_info='PowerDNS for tests
Site: powerdns.example
Docs: powerdns.example/docs
Options:
 PT_Url URL of the API, up to the server
 PT_Token API key
 PT_Zone The zone
'

dns_pdnsapi_add() {
  _pt_init || return 1
  _pt_values "$1" || return 1
  if printf '%s\n' "$_pt_found" | grep -qxF "$2"; then
    _info "the record is there already"
    return 0
  fi
  _pt_replace "$1" "$(printf '%s\n%s\n' "$_pt_found" "$2" | grep .)"
}

dns_pdnsapi_rm() {
  _pt_init || return 1
  _pt_values "$1" || return 1
  _pt_replace "$1" "$(printf '%s\n' "$_pt_found" | grep -vxF "$2" | grep .)"
}

_pt_init() {
  PT_Url="${PT_Url:-$(_readaccountconf_mutable PT_Url)}"
  PT_Token="${PT_Token:-$(_readaccountconf_mutable PT_Token)}"
  PT_Zone="${PT_Zone:-$(_readaccountconf_mutable PT_Zone)}"
  if [ -z "$PT_Token" ]; then
    _err "You did not give PT_Token."
    return 1
  fi
  _saveaccountconf_mutable PT_Url "$PT_Url"
  _saveaccountconf_mutable PT_Token "$PT_Token"
  _secure_debug token "$PT_Token"
  export _H1="X-API-Key: $PT_Token"
}

_pt_values() {
  _pt_answer=$(_get "$PT_Url/zones/$PT_Zone?rrset_name=$1.&rrset_type=TXT" | _normalizeJson)
  if ! _contains "$_pt_answer" '"rrsets"'; then
    _err "PowerDNS: $(_head_n 1 <"$HTTP_HEADER" | tr -d '\r') $_pt_answer"
    return 1
  fi
  _pt_found=$(printf '%s' "$_pt_answer" | _egrep_o '"name":"'"$1"'.","records":\[[^]]*\]' |
    _egrep_o '"content":"[^,]*"' | sed 's/.*:"\\"//; s/\\""$//')
}

_pt_replace() {
  _pt_records=$(printf '%s\n' "$2" | grep . |
    sed 's/.*/{"content":"\\"&\\"","disabled":false}/' | paste -s -d , -)
  _pt_set="{\"name\":\"$1.\",\"type\":\"TXT\",\"ttl\":1,\"changetype\":\"REPLACE\",\"records\":[$_pt_records]}"
  _pt_answer=$(_post "{\"rrsets\":[$_pt_set]}" "$PT_Url/zones/$PT_Zone" "" PATCH application/json) || return 1
  if ! _head_n 1 <"$HTTP_HEADER" | grep -q ' 204'; then
    _err "PowerDNS: $(_head_n 1 <"$HTTP_HEADER" | tr -d '\r') $_pt_answer"
    return 1
  fi
  _info "$(__green "changed $1")"
}
