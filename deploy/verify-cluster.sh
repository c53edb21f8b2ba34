#!/usr/bin/env bash
# A whole release against the cluster that the current kubeconfig names, ending in a table; exit status 0 if all of it held.
#
#   verify-cluster.sh --namespace NS --model MODEL --version VERSION --server URL --token-file FILE [--ca-file FILE]
#                                                                      a release by the Serin that is installed in NS, and
#                                                                      whose interface answers at URL
#   verify-cluster.sh --objects-only                                   the objects of a release alone, in a namespace of its own:
#                                                                      needs an API server, and neither nodes nor a gateway
#
# Options: --timeout SECONDS (3600) for the release; --keep leaves the namespace of --objects-only as it is at the end.
# KUBECTL, PYTHON and SERIN name the programs; the latter two are those of `make setup`.
set -uo pipefail
cd "$(dirname "$0")/.." || exit

KUBECTL=${KUBECTL:-kubectl}
PYTHON=${PYTHON:-.venv/bin/python}
SERIN=${SERIN:-.venv/bin/serin}
NAMESPACE='' MODEL='' VERSION='' OBJECTS_ONLY='' KEEP='' TIMEOUT_S=3600
while [ $# -gt 0 ]; do
    case $1 in
    --objects-only) OBJECTS_ONLY=yes ;;
    --keep) KEEP=yes ;;
    --namespace | --model | --version | --timeout | --server | --token-file | --ca-file)
        if [ $# -lt 2 ]; then
            echo "verify-cluster.sh: $1: a value is missing" >&2
            exit 2
        fi
        case $1 in
        --namespace) NAMESPACE=$2 ;;
        --model) MODEL=$2 ;;
        --version) VERSION=$2 ;;
        --timeout) TIMEOUT_S=$2 ;;
        --server) export SERIN_SERVER=$2 ;;
        --token-file) export SERIN_TOKEN_FILE=$2 ;;
        --ca-file) export SERIN_CA_FILE=$2 ;;
        esac
        shift
        ;;
    *)
        echo "verify-cluster.sh: $1: no such option; the first lines of this file say which there are" >&2
        exit 2
        ;;
    esac
    shift
done
if [ -z "$OBJECTS_ONLY" ] && { [ -z "$NAMESPACE" ] || [ -z "$MODEL" ] || [ -z "$VERSION" ] || [ -z "${SERIN_SERVER:-}" ]; }; then
    echo "verify-cluster.sh: name --namespace, --model, --version and --server of an installation, or give --objects-only" >&2
    exit 2
fi

ROWS=()
FAILED=0

# row NAME OUTCOME SECONDS [WORDS]
row() {
    ROWS+=("$(printf '%-58s %-7s %7s  %s' "$1" "$2" "$3" "${4:-}")")
    if [ "$2" != ok ]; then FAILED=$((FAILED + 1)); fi
}

# check NAME COMMAND...: one row, by the command's status; what it said last where it failed.
check() {
    local name=$1 said began=$EPOCHREALTIME outcome=ok words=
    shift
    if ! said=$("$@" 2>&1); then
        outcome=FAILED
        words=$(tail -n 1 <<<"$said")
    fi
    row "$name" "$outcome" "$(seconds_since "$began")" "$words"
    [ $outcome = ok ]
}

seconds_since() { awk -v a="$1" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.2f", b - a }'; }

kube() { "$KUBECTL" --namespace "$NAMESPACE" "$@"; }

table() {
    printf '\n%-58s %-7s %7s\n' 'what was tried' 'outcome' 'seconds'
    printf '%s\n' "${ROWS[@]}"
    printf '\n%d of %d held.\n' "$((${#ROWS[@]} - FAILED))" "${#ROWS[@]}"
    [ "$FAILED" -eq 0 ]
}

# --- what both need --------------------------------------------------------------------------------------------------
answers() { "$KUBECTL" version --request-timeout=10s; }
knows_routes() { "$KUBECTL" get --raw /apis/gateway.networking.k8s.io/v1; }
knows_releases() { "$KUBECTL" get --raw /apis/serin.dev/v1; }

# --- the objects of a release ----------------------------------------------------------------------------------------
objects() { "$PYTHON" -m deploy.verify_objects "$@"; }
field() { kube get httproute "$ROUTE" --output "jsonpath=$1"; }

apply_as() {
    local manager=$1
    shift
    kube apply --server-side --validate=strict --field-manager="$manager" "$@" --filename -
}

namespace_made() {
    printf '{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "%s"}}' "$NAMESPACE" |
        "$KUBECTL" apply --server-side --validate=strict --filename -
}

releases_known() { "$KUBECTL" apply --server-side --validate=strict --filename deploy/crds/; }

version_made() { objects version "$1" "$NAMESPACE" | apply_as serin; }

routed() { objects route "$@" | apply_as serin; }

git_applies() {
    printf '{"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": "%s"},
        "spec": {"parentRefs": [{"name": "public"}], "hostnames": ["models.example"]}}' "$ROUTE" | apply_as git
}

git_changes_nothing() {
    local before
    before=$(field '{.spec.rules}{.metadata.generation}')
    for _ in 1 2 3; do git_applies || return 1; done
    [ "$before" = "$(field '{.spec.rules}{.metadata.generation}')" ]
}

again_changes_nothing() {
    local before
    before=$(field '{.metadata.resourceVersion}')
    routed "$@" && [ "$before" = "$(field '{.metadata.resourceVersion}')" ]
}

# weighs "10000" or "9500 500": the shares that the route serves, in hundredths of a percent.
weighs() {
    local found
    found=$(field '{.spec.rules[0].backendRefs[*].weight}')
    if [ "$(tr ' ' '\n' <<<"$found" | sort | xargs)" != "$(tr ' ' '\n' <<<"$1" | sort | xargs)" ]; then
        echo "the route weighs $found"
        return 1
    fi
}

shared() { routed "${@:2}" && weighs "$1"; }

edited_by_hand() {
    kube patch httproute "$ROUTE" --type json --field-manager=kubectl-edit \
        --patch '[{"op": "replace", "path": "/spec/rules/0/backendRefs/0/weight", "value": 1}]'
}

edit_is_told() {
    local said
    if said=$(routed "$@" 2>&1); then
        echo "the edit was overwritten in silence"
        return 1
    fi
    grep --quiet kubectl-edit <<<"$said" || { echo "$said"; return 1; }
}

forced() { objects route "$@" | apply_as serin --force-conflicts; }

rolled_back() {
    "$SERIN" rollback verify --kubeconfig "$KUBECONFIG_FILE" --namespace "$NAMESPACE" \
        --reason "verify-cluster.sh" && weighs 10000
}

scaled() {
    local name before
    name=$(objects deployment 1)
    before=$(kube get deployment "$name" --output 'jsonpath={.spec.template}')
    kube scale deployment "$name" --replicas 3 &&
        [ "$(kube get deployment "$name" --output 'jsonpath={.spec.replicas}')" = 3 ] &&
        [ "$before" = "$(kube get deployment "$name" --output 'jsonpath={.spec.template}')" ]
}

release_asked_for() {
    printf '{"apiVersion": "serin.dev/v1", "kind": "ModelRelease", "metadata": {"name": "%s"},
        "spec": {"model": "%s", "version": "%s"}}' "$1" "$2" "$3" | apply_as verify
}

release_is_of_one_version() {
    local said
    if said=$(kube patch modelrelease "$1" --type merge --patch '{"spec": {"version": "3"}}' 2>&1); then return 1; fi
    grep --quiet 'a release is of one version' <<<"$said" || { echo "$said"; return 1; }
}

promoted_is_waited_for() {
    kube patch modelrelease "$1" --subresource status --type merge --patch '{"status": {"phase": "promoted", "conditions": [
        {"type": "Promoted", "status": "True", "reason": "Promoted", "message": "", "observedGeneration": 1,
         "lastTransitionTime": "2026-01-01T00:00:00Z"}]}}' &&
        kube wait --for=condition=Promoted "modelrelease/$1" --timeout 20s
}

gone() { "$KUBECTL" delete namespace "$NAMESPACE" --timeout 120s; }

objects_only() {
    NAMESPACE=${NAMESPACE:-serin-verify-$$}
    ROUTE=$(objects name) || return
    check "the server answers" answers || return
    check "it knows HTTPRoute v1 (Gateway API)" knows_routes || return
    check "it takes Serin's own kinds" releases_known
    check "a namespace for all of it: $NAMESPACE" namespace_made || return
    check "Git makes the route: parentRefs and hostnames" git_applies
    check "stable: Deployment, Service, budget, autoscaler" version_made 1
    check "everybody to stable" shared 10000 1 1
    check "the same once more changes nothing" again_changes_nothing 1 1
    check "the candidate beside it" version_made 2
    check "a release is asked for by an object" release_asked_for release-2 verify 2
    check "which is of one version for good" release_is_of_one_version release-2
    check "shadow: copies, and nobody's answer" shared 10000 2 1 2 0
    check "canary: 5 % to the candidate" shared "9500 500" 3 1 2 5
    check "Git applies again and again: no share changes" git_changes_nothing
    check "somebody edits the route by hand" edited_by_hand
    check "which is seen, and by whom" edit_is_told 4 1 2 50
    check "and settled: 50 % to the candidate" forced 4 1 2 50
    check "rollback by a kubeconfig, in one write" rolled_back
    check "a size changes, and no template" scaled
    check "promotion: everybody to the candidate" forced 6 2
    check "kubectl wait --for=condition=Promoted" promoted_is_waited_for release-2
    if [ -z "$KEEP" ]; then check "the namespace goes, and nothing hangs" gone; fi
}

# --- a release by an installation ------------------------------------------------------------------------------------
controllers_ready() {
    kube rollout status "$(kube get deployment --selector app.kubernetes.io/name=serin,app.kubernetes.io/component=controller \
        --output name)" --timeout 120s
}

one_leads() { [ -n "$(kube get lease --output 'jsonpath={.items[*].spec.holderIdentity}')" ]; }

interface_answers() { "$SERIN" release list --model "$MODEL"; }

phase() { kube get modelrelease "$RELEASE" --output 'jsonpath={.status.phase}' 2>/dev/null; }

# settled: waits until the release needs nothing more than time, or a person.
settled() {
    local deadline=$((SECONDS + TIMEOUT_S))
    while [ $SECONDS -lt $deadline ]; do
        case $(phase) in promoted | probation | rolled_back | rejected | held | superseded | aborted | refused) return ;; esac
        sleep 1
    done
    echo "still $(phase) after $TIMEOUT_S s"
    return 1
}

journal_told() {
    "$SERIN" report "$(kube get modelrelease "$RELEASE" --output 'jsonpath={.status.release}')" --out "$REPORTS"
}

# phases: one row for each phase in the journal, however short it was, with the seconds that it took.
phases() {
    local seconds title
    while read -r seconds title; do
        row "  $title" ok "$seconds"
    done < <("$PYTHON" - "$REPORTS"/*.json <<'SCRIPT'
import json, sys
for one in json.load(open(sys.argv[1], encoding="utf-8"))["phases"][:-1]:  # the last one is where it stands
    print(f"{one['end_s'] - one['start_s']:.2f} {one['title']}")
SCRIPT
    )
}

ended_well() {
    case $(phase) in promoted | probation) ;; *)
        kube get modelrelease "$RELEASE" --output 'jsonpath={.status.phase}: {.status.reason}'
        return 1
        ;;
    esac
}

routed_to_it() {
    local found
    found=$(kube get httproutes --output "jsonpath={range .items[*]}{.metadata.annotations.serin\.dev/model} {.spec.rules[0].backendRefs[*].weight}{'\n'}{end}")
    grep --quiet --line-regexp "$MODEL 10000" <<<"$found" || { echo "$found"; return 1; }
}

release() {
    RELEASE=verify-$$
    check "the server answers" answers || return
    check "it knows HTTPRoute v1 (Gateway API)" knows_routes || return
    check "it knows Serin's own kinds" knows_releases || return
    check "the controllers are ready" controllers_ready || return
    check "one of them leads" one_leads
    check "their interface answers from here" interface_answers || return
    check "a release of $MODEL $VERSION is asked for" release_asked_for "$RELEASE" "$MODEL" "$VERSION" || return
    check "nothing more is waited for" settled
    REPORTS=$(mktemp -d)
    check "the journal tells how it went" journal_told && phases
    rm -r "$REPORTS"
    check "it ends well" ended_well
    check "its route leads everybody to one version" routed_to_it
}

KUBECONFIG_FILE=${KUBECONFIG:-$HOME/.kube/config}
if [ -n "$OBJECTS_ONLY" ]; then objects_only; else release; fi
table
