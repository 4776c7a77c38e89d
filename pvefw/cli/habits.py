"""Words of other programs, and what they are called here: data for :mod:`pvefw.cli.suggestions`.

certbot(1), acme.sh, pvenode(1), pvesh(1), proxmox-boot-tool, qm(1) and pct(1) are what fingers know.
"""

import re
from collections.abc import Mapping

SAME: Mapping[str, frozenset[str]] = {
    name: frozenset(words.split())
    for name, words in {
        "order": "issue obtain certonly request new create",
        "list": "ls show all",
        "info": "list ls show get status view print describe",
        "show": "info get view print describe config",
        "get": "show list ls info view print",
        "status": "show list ls info state",
        "config": "show info get view",
        "register": "add new create register-account registration new-account",
        "remove": "delete del rm unset unregister drop erase",
        "delete": "remove del rm unset drop erase",
        "deactivate": "remove delete del rm unregister deactivate-account",
        "unpin": "remove delete unset",
        "set": "update modify edit change install upload import add",
        "update": "set modify edit change update-account",
        "add": "set install new create",
        "deploy": "install install-cert installcert",
        "enable": "on start activate",
        "disable": "off stop deactivate",
        "log": "logs tail output journal",
        "pin": "select default set-default choose set",
        "refresh": "sync rebuild regenerate update",
        "test": "check verify validate try",
        "doctor": "check verify",
        "wakeonlan": "wol wake wakeup",
        "startall": "start boot-all start-all",
        "stopall": "stop shutdown poweroff halt stop-all shutdownall",
        "suspendall": "suspend pause hibernate suspend-all",
        "resumeall": "resume unpause resume-all",
        "migrateall": "migrate move evacuate migrate-all",
        "drain": "evacuate empty cordon",
        "return": "undrain uncordon back",
        "cert": "certificate certificates",
        "guest": "vm vms ct container",
        "install-timer": "timer cron install-cronjob cronjob timers",
        "install-units": "units unit services install-services",
        "install-hooks": "hooks hook",
        "prune": "purge cleanup clean gc",
        "search": "find grep",
        "rollover": "roll-over rekey rotate",
        "stop": "cancel kill abort",
    }.items()
}
"""Words that mean a command of ours, by a word of its name."""

GENERIC = {
    *(
        "list",
        "ls",
        "show",
        "info",
        "get",
        "set",
        "add",
        "new",
        "create",
        "remove",
        "delete",
        "del",
    ),
    *("rm", "test", "check", "enable", "disable", "on", "off", "install", "all"),
}
"""Words that say nothing alone: without a second one that fits, nothing is suggested."""

COMMANDS: Mapping[str, str] = {
    "update": "Upgrade it by what installed it: pipx upgrade pvefw",
    "upgrade": "Upgrade it by what installed it: pipx upgrade pvefw",
    "uninstall": "Remove it by what installed it: pipx uninstall pvefw",
    "run": "To renew every certificate that is due: pvefw renew",
    "cron": "To renew every certificate that is due: pvefw renew",
    "renew-all": "To renew every certificate that is due: pvefw renew",
    "renew all": "To renew every certificate that is due: pvefw renew",
    "acme cert list": "Did you mean: pvefw cert list",
    "acme cert info": "Did you mean: pvefw cert info",
    "config delete": "To delete a property: pvefw config set --delete KEY",
    "config unset": "To delete a property: pvefw config set --delete KEY",
    "config remove": "To delete a property: pvefw config set --delete KEY",
    "config rm": "To delete a property: pvefw config set --delete KEY",
    "config edit": "To change a property: pvefw config set --KEY VALUE",
    "config add": "To change a property: pvefw config set --KEY VALUE",
    "plugin install": "A plugin is a package: pipx inject pvefw pvefw-NAME",
    "plugin add": "A plugin is a package: pipx inject pvefw pvefw-NAME\n"
    "To configure one that is installed: pvefw acme plugin add dns ID --api NAME --data FILE",
    "plugin remove": "A plugin is a package: pipx uninject pvefw pvefw-NAME",
    "install": "A plugin is a package: pipx inject pvefw pvefw-NAME",
    "set-default-ca": "Each account has its authority: "
    "pvefw acme account register NAME CONTACT --directory letsencrypt",
    "domain": "Names are configured: pvefw config set --acmedomain0 NAME",
    "domains": "Names are configured: pvefw config set --acmedomain0 NAME",
    "reconfigure": "Settings of renewal: pvefw config set --help",
    "rollback": "An earlier certificate can be set again: pvefw cert set CERTIFICATE KEY",
    "enhance": "Certificates are deployed by: pvefw cert deploy",
    "qm": "The guests of this node: pvefw guest list",
    "pct": "The guests of this node: pvefw guest list",
    "virsh": "The guests of this node: pvefw guest list",
    "esp": "Did you mean: pvefw boot status",
    "esps": "Did you mean: pvefw boot status",
    "boot esp": "Did you mean: pvefw boot status",
    "guest start": "Guests are started together, or some of them: pvefw startall --vms ID",
    "guest stop": "Guests are stopped together, or some of them: pvefw stopall --vms ID",
    "guest shutdown": "Guests are stopped together, or some of them: pvefw stopall --vms ID",
    "guest suspend": "Guests are suspended together, or some of them: pvefw suspendall --vms ID",
    "guest resume": "Guests are resumed together, or some of them: pvefw resumeall --vms ID",
    "guest migrate": "Guests are moved together, or some of them: pvefw migrateall TARGET --vms ID",
    "task show": "Did you mean: pvefw task log UPID",
    "task cancel": "Did you mean: pvefw task stop UPID",
    "task kill": "Did you mean: pvefw task stop UPID",
    "acme account show": "Did you mean: pvefw acme account info",
}
"""What is said about a command that does not exist, by its words."""

GROUPS: Mapping[str, str] = {
    "renew": "It looks at every certificate; to renew one now: pvefw acme cert renew NAME",
}
"""What is said about a word that is none of a group's commands, where nothing is like it."""

OPTIONS: Mapping[str, str] = {
    "json": "--output-format json",
    "yaml": "--output-format yaml",
    "o": "--output-format",
    "output": "--output-format",
    "format": "--output-format",
    "dry": "--dry-run",
    "n": "--dry-run",
    "noaction": "--dry-run",
    "simulate": "--dry-run",
    "test": "--dry-run",
    "y": "--yes",
    "assume-yes": "--yes",
    "non-interactive": "--yes",
    "f": "--force",
    "force-renewal": "--force",
    "agree-tos": "--accept-tos",
    "tos": "--accept-tos",
    "server": "--directory",
    "ca": "--directory",
    "url": "--directory",
    "eab-hmac-key": "--eab-hmac-key-file",
    "keylength": "--key-type",
    "k": "--key-type",
    "plugin": "--api",
    "provider": "--api",
    "password": "--password-file",
    "credentials": "--data",
    "tail": "--follow",
    "status": "--statusfilter",
    "type": "--typefilter",
    "user": "--userfilter",
    "failed": "--errors",
    "vm": "--vms",
    "workers": "--max-workers",
    "parallel": "--max-workers",
    "verbose": "--debug",
    "config-dir": "--root",
    "home": "--root",
    "chroot": "--root",
    "host": "--node",
    "background": "--detach",
    "autostart": "--onboot",
}
"""Options of others (without dashes), and ours; only where the command has it."""

REMARKS: Mapping[str, str] = {
    "v": "The version: pvefw --version",
    "V": "The version: pvefw --version",
    "issue": "To order a certificate: pvefw acme cert order",
    "renew": "To renew every certificate that is due: pvefw renew",
    "renew-all": "To renew every certificate that is due: pvefw renew",
    "cron": "To renew every certificate that is due: pvefw renew",
    "revoke": "To revoke the certificate: pvefw acme cert revoke",
    "list": "To show the certificates: pvefw cert info",
    "deploy": "To deploy the certificate: pvefw cert deploy",
    "install-cert": "To deploy the certificate: pvefw cert deploy",
    "register-account": "To register an account: pvefw acme account register CONTACT",
    "upgrade": "Upgrade it by what installed it: pipx upgrade pvefw",
    "force-renewal": "To renew one that is not due: pvefw acme cert renew --force",
    "renew force": "To renew one that is not due: pvefw acme cert renew --force",
    "renew f": "To renew one that is not due: pvefw acme cert renew --force",
    "renew cert-name": "To renew one of them now: pvefw acme cert renew NAME",
    "cert add domain": "Names are properties: pvefw cert add NAME --acmedomain0 DOMAIN",
    "cert add domains": "Names are properties: pvefw cert add NAME --acmedomain0 DOMAIN",
    "cert add d": "Names are properties: pvefw cert add NAME --acmedomain0 DOMAIN",
    "staging": "The account decides: pvefw acme account register staging CONTACT "
    "--directory letsencrypt-test",
    "test-cert": "The account decides: pvefw acme account register staging CONTACT "
    "--directory letsencrypt-test",
    "server": "The account decides: pvefw acme account register NAME CONTACT --directory URL",
    "d": "Names are configured: pvefw config set --acmedomain0 NAME",
    "domain": "Names are configured: pvefw config set --acmedomain0 NAME",
    "domains": "Names are configured: pvefw config set --acmedomain0 NAME",
    "cert-name": "Names are configured: pvefw config set --acmedomain0 NAME",
    "dns": "Each name has its plugin: pvefw config set --acmedomain0 NAME,plugin=ID",
    "standalone": "Each name has its plugin: pvefw config set --acmedomain0 NAME,plugin=standalone",
    "webroot": "A web root is a setting of the plugin: pvefw acme plugin set standalone --data FILE",
    "w": "A web root is a setting of the plugin: pvefw acme plugin set standalone --data FILE",
    "nginx": "To use it for nginx: pvefw config set --reload-command 'systemctl reload nginx'",
    "apache": "To use it for apache: pvefw config set --reload-command 'systemctl reload apache2'",
    "reloadcmd": "It is configured: pvefw config set --reload-command COMMAND",
    "deploy-hook": "It is configured: pvefw config set --reload-command COMMAND",
    "post-hook": "It is configured: pvefw config set --reload-command COMMAND",
    "m": "The address is an argument: pvefw acme account register CONTACT",
    "email": "The address is an argument: pvefw acme account register CONTACT",
    "accountemail": "The address is an argument: pvefw acme account register CONTACT",
    "contact": "The address is an argument: pvefw acme account register CONTACT",
    "eab-kid": "It belongs to the account: pvefw acme account register CONTACT --eab-kid KID",
    "quiet": "To see no output: add >/dev/null",
    "q": "To see no output: add >/dev/null",
}
"""What is said about an option of others (without dashes) that a command has no counterpart of.

A command may come before it: ``renew force``."""

FILLING = {"all", "now", "please", "me"}
"""Words too many that stand for nothing."""

GUESTS = re.compile(r"\d{3,9}(-\d{3,9})?")
"""What is surely meant as a guest."""

WORDS: Mapping[str, str] = {
    "startall": "--vms",
    "stopall": "--vms",
    "suspendall": "--vms",
    "resumeall": "--vms",
    "migrateall": "--vms",
    "task list": "--vmid",
    "node drain": "--to",
}
"""The option that is meant by words behind a command that takes none, or too many."""

KINDS = frozenset({"dns", "standalone", "challenge"})
"""Types of plugin instances: only ``acme plugin add`` wants one in front of the instance's name."""

CHOICES: Mapping[str, str] = {
    "acme plugin add": "For a DNS provider: pvefw acme plugin add dns ID --api NAME --data FILE",
}
"""What is said of a word that is none of those to choose from, by the command."""

NEEDLESS = frozenset({"all", "now", "every", "once"})
"""Options that say what a command does anyway."""

SUPERFLUOUS: Mapping[str, str] = {
    "acme cert order": "It is for all configured names; add one: pvefw config set --acmedomain0 NAME",
    "acme cert renew": "It is for all configured names; add one: pvefw config set --acmedomain0 NAME",
    "acme account register": "Several addresses are one word: a@example.com,b@example.com",
    "boot init": "The second word is the boot loader: grub or systemd-boot.",
    "boot cmdline set": "The whole line is one word: pvefw boot cmdline set 'root=… quiet'",
    "api user set": "A privilege comes with its path: --grant /=Sys.Audit",
}
"""What is said about words too many, by the command."""
