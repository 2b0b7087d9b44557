# Calls by JSON with curl: call.sh PERSON, where PERSON is JSON. Signs in, and prints what a wrong password is told.
set -eu
issuer=$(printf %s "$1" | sed 's/.*"issuer":"\([^"]*\)".*/\1/')
password=$(printf %s "$1" | sed 's/.*"password":"\([^"]*\)".*/\1/')
login() {
  curl -s --max-time 30 "$issuer/chancery.v1.AuthService/Login" -H 'content-type: application/json' \
    -d '{"clientId": "app", "login": "grace", "password": "'"$1"'"}'
}
login "$password" | grep -q '"accessToken"'
login "a wrong pass phrase"
