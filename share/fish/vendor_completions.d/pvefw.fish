# Completion of pvefw for fish; printed by: pvefw completion fish
function __pvefw_complete
    set -l line (commandline --current-process --cut-at-cursor | string collect)
    for row in (_PVEFW_COMPLETE=fish pvefw "$line" 2>/dev/null)
        set -l parts (string split --max 2 \t -- $row)
        switch $parts[1]
            case plain part
                string join \t -- $parts[2..]
            case file
                __fish_complete_path (commandline --current-token)
            case dir
                __fish_complete_directories (commandline --current-token)
        end
    end
end
complete --command pvefw --no-files --keep-order --arguments '(__pvefw_complete)'
