#!/bin/sh
# The tutorial's Azure set-up: resource group, NodeLTS session pool, role, token; and its removal. `--help` says more.
set -eu

RESOURCE_GROUP_NAME=${RESOURCE_GROUP_NAME:-aca-sessions-tutorial}
SESSION_POOL_LOCATION=${SESSION_POOL_LOCATION:-eastasia}
SESSION_POOL_NAME=${SESSION_POOL_NAME:-code-interpreter-pool}
MAX_SESSIONS=${MAX_SESSIONS:-100}
COOLDOWN_PERIOD=${COOLDOWN_PERIOD:-300}
EGRESS=${EGRESS:-disabled}
ASSIGNEE=${ASSIGNEE:-}

ROLE='Azure ContainerApps Session Executor'
AUDIENCE=https://dynamicsessions.io
# The mark of a resource group that this script created, and may therefore delete.
CREATOR=aca-node-interpreter
SIGN_IN="Read the message of az above; if you are signed out, run 'az login'; then run this script again."
RIGHTS="Read the message of az above; you need the Contributor role there. Running this script again is safe."

usage() {
    cat <<END
usage: setup.sh                  create what is missing, look whether it works, print what points aca-node at it
       setup.sh remove [--yes]   delete the pool, and the resource group if this script created it
       setup.sh --help

Settings (environment variables, and their values now):
  RESOURCE_GROUP_NAME    $RESOURCE_GROUP_NAME
  SESSION_POOL_LOCATION  $SESSION_POOL_LOCATION
  SESSION_POOL_NAME      $SESSION_POOL_NAME
  MAX_SESSIONS           $MAX_SESSIONS
  COOLDOWN_PERIOD        $COOLDOWN_PERIOD (idle seconds before a session ends, 300 to 3600)
  EGRESS                 $EGRESS (enabled|disabled; npm install in a session needs enabled)
  ASSIGNEE               ${ASSIGNEE:-the signed-in user} (who may run code: an object id)
END
}

say() { printf '%s\n' "$*" >&2; }

fail() {
    say "setup.sh: $*"
    exit 1
}

# step WHAT HINT AZ_ARGUMENTS...: run az, or end the script with what failed and what to do about it.
step() {
    what=$1 hint=$2
    shift 2
    say "$what ..."
    az "$@" || fail "failed: $what. $hint"
}

prepare() {
    command -v az >/dev/null ||
        fail "the Azure CLI (az) is not installed: see https://learn.microsoft.com/cli/azure/install-azure-cli"
    subscription=$(step "Checking who is signed in" "Run 'az login' first." account show --query name --output tsv)
    say "Subscription: $subscription"
    # The tutorial removes the extension first; --upgrade leads to the same version and keeps a good one if it fails.
    step "Installing or upgrading the containerapp extension" \
        "Update the Azure CLI with 'az upgrade', then run this script again." \
        extension add --name containerapp --upgrade --allow-preview true -y --output none
}

group_exists() {
    step "Looking for the resource group $RESOURCE_GROUP_NAME" "$SIGN_IN" \
        group exists --name "$RESOURCE_GROUP_NAME" --output json
}

create() {
    # For eval "$(sh setup.sh)": stdout, kept as 3, is for the export line alone.
    exec 3>&1 1>&2
    case $EGRESS in
        enabled) network=EgressEnabled ;;
        disabled) network=EgressDisabled ;;
        *) fail "EGRESS is '$EGRESS'; set it to enabled or disabled." ;;
    esac
    prepare

    # Registering needs rights on the whole subscription, so only when it has to be.
    provider=$(step "Checking the provider Microsoft.App" "$SIGN_IN" \
        provider show --namespace Microsoft.App --query registrationState --output tsv)
    if [ "$provider" != Registered ]; then
        step "Registering the provider Microsoft.App (takes minutes)" \
            "It needs the Contributor role on the subscription: ask somebody who has it to do this step." \
            provider register --namespace Microsoft.App --wait --output none
    fi

    # Creating a group that exists would replace its tags, and so make somebody else's group look like ours.
    exists=$(group_exists)
    if [ "$exists" = true ]; then
        say "The resource group exists: it stays as it is."
    else
        step "Creating the resource group $RESOURCE_GROUP_NAME" "$RIGHTS" \
            group create --name "$RESOURCE_GROUP_NAME" --location "$SESSION_POOL_LOCATION" \
            --tags "created-by=$CREATOR" --output none
    fi

    step "Creating or updating the session pool $SESSION_POOL_NAME" "$RIGHTS" \
        containerapp sessionpool create --name "$SESSION_POOL_NAME" --resource-group "$RESOURCE_GROUP_NAME" \
        --location "$SESSION_POOL_LOCATION" --max-sessions "$MAX_SESSIONS" --container-type NodeLTS \
        --cooldown-period "$COOLDOWN_PERIOD" --network-status "$network" --output none
    pool=$(step "Reading the pool's resource id" "$SIGN_IN" \
        containerapp sessionpool show --name "$SESSION_POOL_NAME" --resource-group "$RESOURCE_GROUP_NAME" \
        --query id --output tsv)
    endpoint=$(step "Reading the pool's endpoint" "$SIGN_IN" \
        containerapp sessionpool show --name "$SESSION_POOL_NAME" --resource-group "$RESOURCE_GROUP_NAME" \
        --query properties.poolManagementEndpoint --output tsv)
    # The caller evaluates this, so a quote in it must not end the string.
    case $endpoint in
        *\'*) fail "the pool's endpoint is not a URL: $endpoint" ;;
        https://*) ;;
        *) fail "the pool has no endpoint yet. Wait a minute, then run this script again." ;;
    esac

    if [ -z "$ASSIGNEE" ]; then
        ASSIGNEE=$(step "Reading your object id" \
            "A service principal has no user: set ASSIGNEE to the object id of whoever will run code." \
            ad signed-in-user show --query id --output tsv)
    fi
    # Looked up first: not every version of az accepts an assignment that exists, and creating the pool may have made it.
    assigned=$(step "Looking for the role assignment" "$SIGN_IN" \
        role assignment list --role "$ROLE" --assignee "$ASSIGNEE" --scope "$pool" --query '[].id' --output tsv)
    if [ -z "$assigned" ]; then
        step "Assigning the role $ROLE" \
            "You need the Owner or User Access Administrator role there. Running this script again is safe." \
            role assignment create --role "$ROLE" --assignee "$ASSIGNEE" --scope "$pool" --output none
    fi

    # Only whether there is one: aca-node fetches its own, so the token is never shown.
    step "Checking that a token can be had" "Run 'az login --scope $AUDIENCE/.default', then run this script again." \
        account get-access-token --resource "$AUDIENCE" --output none

    if command -v aca-node >/dev/null; then
        say "Asking the pool (aca-node doctor) ..."
        aca-node doctor --endpoint "$endpoint" ||
            say "It does not work yet for whoever is signed in. A new role may take some minutes: run aca-node doctor again."
    else
        say "aca-node is not on PATH: install the package, then let 'aca-node doctor' tell whether the pool works."
    fi
    say "Done. A new role may take some minutes to work; until then the pool answers 401 or 403."
    say "Run the next line in your shell; after that, for example: echo 'console.log(process.version)' | aca-node run -"
    printf "export ACA_POOL_MANAGEMENT_ENDPOINT='%s'\n" "$endpoint" >&3
}

remove() {
    prepare
    exists=$(group_exists)
    if [ "$exists" != true ]; then
        say "There is no resource group $RESOURCE_GROUP_NAME: nothing to remove."
        return
    fi
    pool=$(step "Looking for the session pool $SESSION_POOL_NAME" "$SIGN_IN" \
        containerapp sessionpool list --resource-group "$RESOURCE_GROUP_NAME" \
        --query "[?name=='$SESSION_POOL_NAME'].id" --output tsv)
    creator=$(step "Reading who created the resource group" "$SIGN_IN" \
        group show --name "$RESOURCE_GROUP_NAME" --query 'tags."created-by"' --output tsv)
    resources=$(step "Listing what the resource group holds" "$SIGN_IN" \
        resource list --resource-group "$RESOURCE_GROUP_NAME" --query '[].id' --output tsv)
    # Azure's resource ids are the same in any case.
    others=$(printf '%s\n' "$resources" | awk -v pool="$pool" 'NF && tolower($0) != tolower(pool)') ||
        fail "failed: Comparing what the resource group holds. Nothing was removed; remove it in the Azure portal."

    keep=
    if [ "$creator" != "$CREATOR" ]; then
        keep="The resource group $RESOURCE_GROUP_NAME stays: this script did not create it (no tag created-by=$CREATOR)."
    elif [ -n "$others" ]; then
        keep="The resource group $RESOURCE_GROUP_NAME stays: it holds more than the pool:
$others"
    fi
    if [ -n "$keep" ]; then say "$keep"; fi
    if [ -n "$keep" ] && [ -z "$pool" ]; then
        say "There is no session pool $SESSION_POOL_NAME in it: nothing to remove."
        return
    fi

    say "To be deleted for good:"
    if [ -n "$pool" ]; then say "  session pool $SESSION_POOL_NAME"; fi
    if [ -z "$keep" ]; then say "  resource group $RESOURCE_GROUP_NAME"; fi
    if [ "$1" != --yes ]; then
        printf 'Type the name of the resource group to go on: ' >&2
        answer=
        read -r answer || :
        [ "$answer" = "$RESOURCE_GROUP_NAME" ] ||
            fail "nothing was removed: the name was not confirmed. Type $RESOURCE_GROUP_NAME, or pass --yes."
    fi
    if [ -n "$pool" ]; then
        step "Deleting the session pool $SESSION_POOL_NAME" "$RIGHTS" \
            containerapp sessionpool delete --name "$SESSION_POOL_NAME" --resource-group "$RESOURCE_GROUP_NAME" \
            --yes --output none
    fi
    if [ -z "$keep" ]; then
        step "Deleting the resource group $RESOURCE_GROUP_NAME (takes minutes)" "$RIGHTS" \
            group delete --name "$RESOURCE_GROUP_NAME" --yes --output none
    fi
    say "Removed."
}

case $* in
    '') create ;;
    remove | 'remove --yes') remove "${2:-}" ;;
    -h | --help) usage ;;
    *)
        usage >&2
        exit 2
        ;;
esac
