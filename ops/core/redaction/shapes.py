"""Hide what has the shape of a secret: `NAME=value` in its many notations, URLs, headers, tokens.

Shapes, not entropy: a digest or a commit id looks random and stays, since a diagnosis needs it.
Every pattern starts at a fixed word, and every repetition is bounded or consumes what it reads, so
that the work grows linearly with the text.
"""

from __future__ import annotations

import re
from functools import cache

HIDDEN = "***"
_LOOK_BACK = 64  # characters of a name before its decisive word
_LOOK_AHEAD = 4000  # characters: the longest quoted value or block that may span lines

_ANSI = r"(?:\x1b\[[\d;]{0,12}m){0,4}"
_KEYS = (
    "api|encryption|encrypt|signing|private|master|auth|access|secret|session|jwt|hmac|cipher"
    "|crypto|storage|account|webhook|license"
    "|licence|stripe|service|deploy"
)
_NAME = (
    rf"(?:passw(?:or)?[dt]|passphrase|pwd|(?<=[_-])pass|secret(?:[_-]?(?:access)?[_-]?key|string"
    rf"|binary)?|token|credentials?"
    rf"|(?:{_KEYS})[_-]?key)(?:[_-]?(?:b64|base64|hash|value|plain(?:text)?|new|old|current"
    rf"|previous|\d{{1,3}}))?(?![\w-])"
)
_PRIVATE_KEY = r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY(?: BLOCK)?-----"

_NAME_WORDS = ("pass", "pwd", "secret", "token", "credential", "key")

# words of error messages and documents, which are not values
_NOT_A_VALUE = re.compile(
    r"null|none|nil|undefined|true|false|yes|no|on|off|missing|required|unknown|empty|unset|set"
    r"|expired|invalid|incorrect|wrong|failed|denied|rejected|absent|disabled|enabled|redacted"
    r"|hidden|masked|sensitive|changed|unchanged|authentication|string|str",
    re.IGNORECASE,
)
_REFERENCE = re.compile(
    r"arn:|\((?:sensitive|known after)|<(?:sensitive|redacted|hidden)|\$\{|\{\{|\$[A-Z_]+$"
    r"|(?:var|local|module|data|each|random_password|aws_\w{1,40})\.[\w.\[\]\"-]+$"
)
_SIGN = rf"""
    (?:(?P<name>{_NAME})|(?-i:(?P<any_key>(?<=[A-Z0-9]_)KEY)(?![\w-])))
    (?P<close>\\{{0,16}}["'`]?)\]?{_ANSI}[ \t]{{0,32}}
    (?P<separator>=>|={{1,3}}|:=|:(?!:)){_ANSI}[ \t]{{0,64}}{_ANSI}
"""
_OPEN = re.compile(r"(?P<prefix>[bruBRUEe]{0,2})(?P<escape>\\{0,16})(?P<quote>[\"'`])")
_HEREDOC = re.compile(r"<<[-~]?[\"']?(\w{1,40})[\"']?[ \t]*\r?\n")
_BLOCK = re.compile(
    r"[|>][+-]?\d?[ \t]{0,32}\r?\n([ \t]{1,64})[^\n]*(?:\n(?:\1[^\n]*|[ \t]*(?=\n|\Z)))*"
)
_NESTED = re.compile(
    r"\{[^{}]{0,300}?\\{0,16}[\"']?value\\{0,16}[\"']?\s{0,8}[:=]\s{0,8}", re.IGNORECASE
)
_UNQUOTED = re.compile(
    r"""(?:
      (?!\\{0,16}["'`](?:[\s,}\])>:;]|\Z))                # the end of a string around it
      (?![,;&]\s?[\w.-]{1,64}(?:[ ]\w{1,20})?[=:])   # the next pair
      (?!</)(?!\\{1,16}[nrt][\w.-]{1,64}[=:])
      [^\s\x00\x1b]
    )+""",
    re.VERBOSE,
)
_NEXT_WORD = re.compile(r"[ \t]+[a-z]{1,20}\b")
_ALSO = re.compile(r"[ \t]{0,8}->[ \t]{0,8}(?=[\"'])")  # Terraform: "old" -> "new"

_VALUE = (
    r"(?P<open>\\{0,16}[\"'])?"
    r"(?P<hide>(?(open)(?:(?!(?P=open))[^\n]){1,4000}|[^\s,;&\"'<>}\])]{1,4000}))"
)
_PAIRED = r"\\{0,16}[\"']?\s{0,8}[:=]\s{0,8}"
_NAMED = rf"\\{{0,16}}[\"']?[\w.-]{{0,64}}{_NAME}\\{{0,16}}[\"']?"
# (words, pattern): most texts contain none of the words, which saves matching the pattern
_PATTERNS = (
    (
        "private key",
        rf"{_PRIVATE_KEY}(?P<hide>.*?)(?:-----END [A-Z ]{{0,30}}PRIVATE KEY|\Z)",
    ),
    # name and value as members of their own, in either order
    (
        "value",
        rf"\b(?:name|key){_PAIRED}{_NAMED}[\s,]{{1,40}}\\{{0,16}}[\"']?value{_PAIRED}{_VALUE}",
    ),
    (
        "value",
        rf"\bvalue{_PAIRED}{_VALUE}(?:(?P=open))?[\s,]{{1,40}}\\{{0,16}}[\"']?(?:name"
        rf"|key){_PAIRED}{_NAMED}",
    ),
    (
        "</",
        rf"<[\w.:-]{{0,64}}{_NAME}[^<>\n]{{0,64}}>(?P<hide>[^<]{{1,4000}})</",
    ),
    (
        'name="',
        rf"\bname=\"[\w.-]{{0,64}}{_NAME}\"(?:\r?\n){{2}}(?P<hide>[^\r\n]+)",  # a form's part
    ),
    # URLs: user:password@host, a token as the user, signatures
    (
        "://",
        r"://[^\s:/@\"'<>]{0,128}:(?!\d{1,5}(?:[/?#\s\"',;)]|\Z))(?P<hide>(?:"
        r"(?!://)[^\s\"<>]){1,512})@(?=[\w.\[/-])",
    ),
    (
        "://",
        r"://[^\s:/@\"'<>]{0,128}:(?!\d{1,5}(?:[/?#\s\"',;)]|\Z))(?P<hide>[^\s@/\"<>]{1,128}(?: "
        r"(?!\w{1,20}://)[^\s@\"<>]{1,128}){1,4})@(?=[\w.\[-]{1,253}[:/])",
    ),
    (
        "://",
        r"(?:https?|git)://(?P<hide>(?=[^\s:/@]{0,64}\d)"
        r"(?=[^\s:/@]{0,64}[a-z])[^\s:/@\"'<>]{10,256})@",
    ),
    (
        "hooks.slack|webhooks/",
        r"hooks\.slack\.com/(?:services|workflows)/(?P<hide>[\w/-]{8,200})|discord"
        r"(?:app)?\.com/api/webhooks/(?P<too>[\w/-]{8,200})",
    ),
    (
        "x-amz-",
        r"\bX-Amz-(?:Signature|Security-Token|Credential)=(?P<hide>[^&\s\"'<>]+)",
    ),
    (
        "sig|awsaccesskeyid",
        r"(?:[?&](?:sig|AWSAccessKeyId)|\bsignature)=(?P<hide>[^&,\s\"'<>]{6,})",
    ),
    # headers
    (
        "bearer|basic",
        r"\b(?:bearer|basic)\s{1,8}(?P<hide>(?=[\w.~+/-]{0,400}[\d=]|[\w.~+/-]{0,400}"
        r"(?-i:[a-z][A-Z])|[\w.~+/-]{24})[\w.~+/-]{8,4000}={0,2})",
    ),
    (
        "authorization",
        r"\bauthorization\\{0,16}[\"']?\s{0,8}[:=]\s{0,8}\\{0,16}[\"']?(?:(?:bearer|basic|token"
        r"|digest|negotiate|apikey)\s{1,8})(?P<hide>[^\s\"',\\]+)",
    ),
    (
        "authorization",
        r"\bauthorization\\{0,16}[\"']?\s{0,8}[:=]\s{0,8}\\{0,16}[\"']?(?!AWS4-)(?P<hide>"
        r"(?=[^\s\"',]{0,400}\d)[^\s\"',\\]{8,})",
    ),
    (
        "cookie",
        r"\b(?:set-)?cookie\\{0,16}[\"']\s{0,8}:\s{0,8}(?P<open>\\{0,16}[\"'])(?P<hide>(?:(?!"
        r"(?P=open))[^\n]){1,4000})|\b(?:set-)?cookie:[ \t]{0,8}(?P<too>[^\r\n]+)",
    ),
    # tokens that name their vendor
    (
        "eyj",
        r"(?P<hide>\beyJ[\w-]{8,4000}\.[\w-]{4,4000}(?:\.[\w-]{0,4000})?)",
    ),
    (
        "akia|asia",
        r"(?P<hide>\b(?-i:AKIA|ASIA)(?-i:[0-9A-Z]){16}\b)",
    ),
    (
        "fwog|iqoj",
        r"(?P<hide>\b(?-i:FwoGZXIvYXdz|IQoJb3JpZ2lu)[\w+/=]{20,})",
    ),
    (
        "gh|github_pat|glpat-|xox|sk|k_live|k_test|whsec_|aiza|npm_|hf_|hv|dckr_|pypi-|ya29"
        "|age-secret|sg.",
        r"(?P<hide>\b(?-i:gh[pousr]_\w{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}"
        r"|xox[abeprs]-[\w-]{10,}|sk-[\w-]{20,}|[sr]k_(?:live|test)_\w{10,}|whsec_\w{10,}"
        r"|AIza[\w-]{30,}|npm_\w{30,}|hf_\w{30,}|hv[sbr]\.[\w-]{20,}|dckr_pat_[\w-]{20,}"
        r"|pypi-[\w-]{40,}|ya29\.[\w-]{20,}"
        r"|AGE-SECRET-KEY-1\w{20,}|SG\.[\w-]{16,64}\.[\w-]{16,})|\b(?-i:SK[0-9a-f]{32})\b)",
    ),
    (
        "auth",
        r"\bauth\\{0,16}[\"']\s{0,8}:\s{0,8}\\{0,16}[\"']"
        r"(?P<hide>[\w+/=-]{12,})",  # Docker's config.json
    ),
    # options of programs
    (
        "--",
        rf"(?<!\S)--[\w-]{{0,40}}{_NAME}\s{{1,8}}(?:(?P<open>[\"'])(?P<hide>(?:(?!"
        rf"(?P=open))[^\n]){{1,4000}})|(?P<too>[^\s-]\S*))",
    ),
    (
        "curl",
        r"\bcurl\s[^\n]{0,200}?\s?(?:-u|--user)[ =]?[\"']?[^\s:\"']{1,128}:(?P<hide>[^\s\"']+)",
    ),
    (
        "-p",
        r"\b(?:login|sshpass|mysql|mysqldump)\s(?:[^\n]{0,200}?\s)?-p[ =]?(?P<hide>[^\s-]\S*)",
    ),
    # files of passwords
    (
        ":",
        r"(?:^|(?<=[\s\"']))[\w.*-]{1,253}:(?:\d{4,5}|\*):[\w.*-]{1,64}:[\w.*-]{1,64}:"
        r"(?P<hide>[^\s\"']{4,})(?=[\s\"']|$)",
    ),
    (
        "login",
        r"\blogin\s{1,8}\S{1,128}\s{1,8}password\s{1,8}(?P<hide>\S+)",
    ),
    # SQL and prose
    (
        "identified by|password",
        r"\bidentified by\s{1,8}(?P<hide>'(?:[^']|''){0,4000}')|\bpassword\s{1,8}[eE]?(?P<sql>'"
        r"(?:[^'\\]|''|\\.){0,4000}'|\$(?P<tag>\w{0,20})\$.{0,4000}?\$(?P=tag)\$)",
    ),
    (
        "password for",
        r"\bpassword for (?:user )?\S{1,128} is\s{1,8}[\"']?(?P<hide>[^\s\"']+)",
    ),
    (
        "password",
        r"\b(?:using|with) (?:the )?password\s{1,8}[\"']?(?P<hide>(?=[^\s\"']{0,200}(?:\d|[a-z]"
        r"(?-i:[A-Z])|[^\w\s\"'.,:;()-]))[^\s\"':(][^\s\"']{5,})",
    ),
)


def hide_shapes(text: str) -> str:
    """`text` with every known shape of secret replaced by `***`; line breaks stay."""
    lower = text.lower()
    (private_key, key_pattern), *others = _patterns()
    if _has(lower, private_key):
        text = key_pattern.sub(_hide, text)
    if _has(lower, _NAME_WORDS):
        text = _hide_named(text)
    for words, pattern in others:
        if _has(lower, words):
            text = pattern.sub(_hide, text)
    return text


def is_secret_name(name: str) -> bool:
    """Whether a variable or key of this name holds a secret."""
    return any(found.end() == len(name) + 1 for found in _sign().finditer(f"{name}="))


def mask(secret: str) -> str:
    """`***` for each line of `secret`, indented as it was."""
    return re.sub(r"[^\s][^\r\n]*", HIDDEN, secret)


@cache
def _patterns() -> tuple[tuple[tuple[str, ...], re.Pattern[str]], ...]:
    flags = re.IGNORECASE | re.DOTALL | re.MULTILINE
    return tuple(
        (tuple(words.split("|")), re.compile(pattern, flags)) for words, pattern in _PATTERNS
    )


def _has(lower: str, words: tuple[str, ...]) -> bool:
    return any(word in lower for word in words)


@cache
def _sign() -> re.Pattern[str]:
    return re.compile(_SIGN, re.IGNORECASE | re.VERBOSE)


def _hide(match: re.Match[str]) -> str:
    """The match with its hidden group masked; quotes stay, so that JSON stays JSON."""
    groups = match.groupdict()
    group = next(name for name in ("hide", "too", "sql") if groups.get(name) is not None)
    start, end = match.start(group) - match.start(), match.end(group) - match.start()
    secret = match[group]
    if len(secret) > 1 and secret[0] in "'$" and secret[-1] == secret[0]:  # SQL: 'x', $tag$x$tag$
        width = secret.index("$", 1) + 1 if secret[0] == "$" else 1
        start, end = start + width, end - width
    whole = match[0]
    return whole[:start] + (mask(whole[start:end]) or HIDDEN) + whole[end:]


def _hide_named(text: str) -> str:
    """Hide the values of all names that say so."""
    parts, done = [], 0
    for sign in _sign().finditer(text):
        start = sign.end()
        if sign.start() < done or not _is_name(text, sign):
            continue
        while span := _value(text, start, sign):
            begin, end = span
            bare = (
                sign["close"]
                and sign["close"][-1] == '"'
                and text[begin - 1] in " :\t"
                and text[begin:end] != HIDDEN
            )
            hidden = mask(text[begin:end])
            parts += [
                text[done:begin],
                f"{sign['close']}{hidden}{sign['close']}" if bare else hidden,
            ]
            done = end
            more = _ALSO.match(text, end + 1)
            if not more:
                break
            start = more.end()
    return "".join([*parts, text[done:]])


def _is_name(text: str, sign: re.Match[str]) -> bool:
    """Whether a match is a name: not part of a path or an ARN, nor of a parser's message."""
    start = sign.start()
    first = start
    while first > max(0, start - _LOOK_BACK) and (
        text[first - 1].isalnum() or text[first - 1] in "_.-"
    ):
        first -= 1
    before = text[max(0, first - 12) : first].lower()
    return not (before.endswith((":", "/")) and sign["separator"] == ":") and not before.endswith(
        ("unexpected ", "invalid ", "illegal ")
    )


def _value(text: str, start: int, sign: re.Match[str]) -> tuple[int, int] | None:
    """Start and end of the value at `start`; None if it is missing or not secret."""
    if opened := _OPEN.match(text, start):
        begin = opened.end()
        end = _closing(text, begin, len(opened["escape"]), opened["quote"])
        return None if _is_harmless(text[begin:end], sign) else (begin, end)
    if heredoc := _HEREDOC.match(text, start):
        end = text.find(f"\n{heredoc[1]}", heredoc.end() - 1, heredoc.end() + _LOOK_AHEAD)
        return heredoc.end(), end if end >= heredoc.end() else min(
            len(text), heredoc.end() + _LOOK_AHEAD
        )
    if block := _BLOCK.match(text, start):
        return block.start(1), block.end()
    if text.startswith("{", start):
        nested = _NESTED.match(text, start)
        return (
            _value(text, nested.end(), sign)
            if nested and not text.startswith("{", nested.end())
            else None
        )
    if text.startswith("[", start):
        end = text.find("]", start + 1, start + _LOOK_AHEAD)
        return None if end < 0 or _is_harmless(text[start + 1 : end], sign) else (start + 1, end)
    return _unquoted(text, start, sign)


def _unquoted(text: str, start: int, sign: re.Match[str]) -> tuple[int, int] | None:
    found = _UNQUOTED.match(text, start)
    if not found:
        return None
    value = found[0].rstrip(",;)}]\"'`>")
    if _is_harmless(value, sign) or _REFERENCE.match(found[0]):
        return None
    name, end = sign["name"], start + len(value)
    if sign["any_key"] and not re.fullmatch(r"(?=.*\d)(?=.*[A-Za-z])[\w+=-]{10,}", value):
        return None
    if (
        value.isdigit()
        and len(value) < 6
        and name
        and not re.match("pass|pwd", name, re.IGNORECASE)
    ):
        return None
    prose = (
        sign["separator"] == ":"
        and value.isalpha()
        and _NEXT_WORD.match(text, start + len(found[0]))
    )
    return None if prose else (start, end)


def _closing(text: str, begin: int, escapes: int, quote: str) -> int:
    """The end of a quoted text: at a quote escaped as the first one, else at the line's end."""
    place = begin
    limit = min(len(text), begin + _LOOK_AHEAD)
    while (place := text.find(quote, place, limit)) >= 0:
        slashes = place
        while slashes > begin and text[slashes - 1] == "\\":
            slashes -= 1
        count = place - slashes
        if count == escapes if escapes else count % 2 == 0:
            return slashes if escapes else place
        place += 1
    line_end = text.find("\n", begin)
    return len(text) if line_end < 0 else line_end


def _is_harmless(value: str, sign: re.Match[str]) -> bool:
    """Whether a value is empty, a common word, a reference or a folder."""
    if not any(character.isalnum() for character in value[:200]):
        return True
    if _NOT_A_VALUE.fullmatch(value.strip(" .,;:!()[]{}\\\"'")) or _REFERENCE.match(value):
        return True
    return (sign["name"] or "").lower() == "pwd" and value.startswith("/")
