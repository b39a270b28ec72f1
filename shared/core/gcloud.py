"""What gcloud is told for each step of a deployment, and what its errors mean for a person."""

from __future__ import annotations

import re
from collections.abc import Mapping

from shared.core.deployment import Deploy, Pin, Promote, Step, Tag
from shared.core.revisions import CANDIDATE, VERIFIED, Wanted

WHY_MAX = 400  # characters of an error: its first sentences say what is wrong, the rest repeats the request
PERMISSION = re.compile(r"[Pp]ermission '?([\w.]*\w)'? (?:is )?denied (?:on|for)(?: resource)? '?([^\s',\]]+)")
ACT_AS = re.compile(
    r"iam\.service[aA]ccounts\.actAs'? on (?:the )?service account (?:projects/-/serviceAccounts/)?([\w@.-]+\w)"
)
SECRET = re.compile(r"\b(?:ya29\.|eyJ)[\w.-]+|(?i:bearer) \S+")
ROLES = {
    "cloudfunctions": "roles/cloudfunctions.developer",
    "run.routes": "roles/run.invoker",
    "run": "roles/run.admin",
    "iam": "roles/iam.serviceAccountUser",
    "serviceusage": "roles/serviceusage.serviceUsageConsumer",
    "resourcemanager": "roles/browser",
    "storage": "roles/storage.objectAdmin",
    "secretmanager": "roles/secretmanager.viewer",
    "artifactregistry": "roles/artifactregistry.reader",
    "cloudbuild": "roles/cloudbuild.builds.viewer",
}
"""The least that Google has ready-made, by the longest beginning of a permission's name."""


def command_of(step: Step, wanted: Wanted) -> tuple[str, ...]:
    """What gcloud is told, without its own name; nothing for what is no command."""
    match step:
        case Pin(revision):
            return _traffic(wanted, f"--to-revisions={revision}=100")
        case Deploy():
            return deploy_command(wanted)
        case Tag(revision):
            return _traffic(wanted, f"--update-tags={CANDIDATE}={revision}")
        case Promote(revision):
            return _traffic(wanted, f"--to-revisions={revision}=100", f"--update-tags={VERIFIED}={revision}")
        case _:
            return ()


def deploy_command(wanted: Wanted) -> tuple[str, ...]:
    secrets = ",".join(f"{name}={secret}" for name, secret in sorted(wanted.secrets.items()))
    return (
        *("functions", "deploy", wanted.service, "--gen2", "--trigger-http", "--no-allow-unauthenticated"),
        *_where(wanted),
        f"--runtime={wanted.runtime}",
        f"--entry-point={wanted.function}",
        f"--source={wanted.source}",
        f"--run-service-account={wanted.account}",
        f"--memory={wanted.memory_mb}Mi",
        f"--cpu={wanted.cpu:g}",
        f"--concurrency={wanted.concurrency}",
        f"--min-instances={wanted.min_instances}",
        f"--max-instances={wanted.max_instances}",
        f"--timeout={wanted.timeout_s}",
        f"--ingress-settings={wanted.ingress}",
        f"--update-labels={_pairs(wanted.labels, ',')}",
        # --set-env-vars would wipe what others have set; a comma may stand in a value, so another sign divides them
        f"--update-env-vars=^|^{_pairs(wanted.variables, '|')}",
        f"--set-secrets={secrets}" if secrets else "--clear-secrets",
        *("--format=json", "--quiet"),
    )


def function_command(wanted: Wanted) -> tuple[str, ...]:
    return ("functions", "describe", wanted.service, "--gen2", *_where(wanted), "--format=json")


def service_command(wanted: Wanted) -> tuple[str, ...]:
    return ("run", "services", "describe", wanted.service, *_where(wanted), "--format=json")


def list_commands(project: str, region: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Of all functions and all services: two calls for any number of them."""
    return (
        ("functions", "list", "--v2", f"--project={project}", f"--regions={region}", "--format=json"),
        ("run", "services", "list", f"--project={project}", f"--region={region}", "--format=json"),
    )


def _traffic(wanted: Wanted, *what: str) -> tuple[str, ...]:
    return ("run", "services", "update-traffic", wanted.service, *_where(wanted), *what, "--format=json", "--quiet")


def _where(wanted: Wanted) -> tuple[str, str]:
    return f"--project={wanted.project}", f"--region={wanted.region}"


def _pairs(values: Mapping[str, str], between: str) -> str:
    return between.join(f"{name}={value}" for name, value in sorted(values.items()))


# --- what its errors mean -------------------------------------------------------------------------------

KNOWN = (
    (
        r"active account|[Rr]eauthentication|invalid_grant|credentials? .*(?:expired|not found)",
        "run `gcloud auth login`",
    ),
    (
        r"SERVICE_DISABLED|has not been used in project|it is disabled",
        "run `gcloud services enable {api} --project={project}`",
    ),
    (r"[Ss]ervice account .*(?:not found|does not exist)", "run `bin/deploy/iam` first"),
    (r"[Ss]ecret .*(?:not found|does not exist)", "run `bin/deploy/secrets`, give it a version, then this again"),
    (
        r"unable to queue|[Cc]onflict|is being deployed",
        "another deployment is under way: run this again once it is over",
    ),
    (r"build service account", "have an owner give it roles/cloudbuild.builds.builder: docs/deploy.md"),
    (r"[Bb]uild failed", "read the build's log: `gcloud builds list --project={project} --limit=5`"),
    (r"[Pp]ermission denied on secret|Secret Accessor", "run `bin/deploy/iam`, then this again"),
    (
        r"not ready|failed to start|Healthcheck",
        "read the log: `gcloud functions logs read {service} --gen2 --project={project} --region={region}`",
    ),
    (r"[Qq]uota|RESOURCE_EXHAUSTED|status=\[429\]", "wait a minute, then run this again"),
)
"""What stands in an error, and what to do about it; the first that fits."""

AGAIN = "run this again; it goes on where it stands"


def explain(errors: str, wanted: Wanted) -> str:
    """What gcloud's errors say, in one line without secrets, and what to do."""
    told = SECRET.sub("***", errors)
    lines = [line.partition("ERROR: ")[2] or line for line in told.splitlines() if line.strip()]
    marked = [line.partition("ERROR: ")[2] for line in told.splitlines() if "ERROR: " in line]
    text = "".join(character if character.isprintable() else " " for character in " ".join(marked or lines[-3:]))
    why = " ".join(text.split())[:WHY_MAX] or "gcloud said nothing"
    return f"{why}; {_remedy(told, wanted)}"


def _remedy(told: str, wanted: Wanted) -> str:
    who = "--member=user:YOU"
    if account := ACT_AS.search(told):
        role = ROLES["iam"]
        return (
            f"you may not act as {account[1]}: have an owner run `gcloud iam service-accounts add-iam-policy-binding "
            f"{account[1]} --project={wanted.project} {who} --role={role}`"
        )
    if denied := PERMISSION.search(told):
        permission, resource = denied[1], denied[2]
        role = ROLES[max((name for name in ROLES if permission.startswith(name)), key=len, default="cloudfunctions")]
        return (
            f"you lack {permission} on {resource}: have an owner run "
            f"`gcloud projects add-iam-policy-binding {wanted.project} {who} --role={role}`"
        )
    for pattern, remedy in KNOWN:
        if re.search(pattern, told):
            api = re.search(r"\b([a-z]+\.googleapis\.com)", told)
            return remedy.format(
                api=api[1] if api else "cloudfunctions.googleapis.com",
                project=wanted.project,
                region=wanted.region,
                service=wanted.service,
            )
    return AGAIN
