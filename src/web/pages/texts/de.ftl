# Alles, was die Seiten auf Deutsch sagen: jede Meldung aus en.ftl, mit denselben Werten.

## Überall

direction = ltr
language-name = Deutsch
language-label = Sprache
page-title = { $page } · { $name }
page-title-wrong = Fehler: { $page } · { $name }
date = { $day }. { $month ->
    [1] Januar
    [2] Februar
    [3] März
    [4] April
    [5] Mai
    [6] Juni
    [7] Juli
    [8] August
    [9] September
    [10] Oktober
    [11] November
   *[12] Dezember
} { $year }, { $time } Uhr (UTC)
optional = freiwillig
show-password = Zeigen
show-password-label = Passwort zeigen
hide-password = Verbergen
copy = Kopieren
copied = Kopiert
back-to = Zurück zu { $name }
continue = Weiter
problems = { $count ->
    [one] Da stimmt etwas nicht
   *[other] { $count } Angaben stimmen nicht
}
problem-of-field = { $field }: { $problem }
field-name = { $field ->
    [username] Benutzername oder E-Mail-Adresse
    [password] Passwort
    [email] E-Mail-Adresse
    [code] Code aus der E-Mail
    [new_password] Neues Passwort
    [recovery_code] Wiederherstellungscode
    [factor_name] Bezeichnung
   *[current_password] Aktuelles Passwort
}
password-hint = Mindestens { $min } Zeichen. Einige Wörter ohne Zusammenhang sind sicher und leicht zu merken.
password-hint-reset = Mindestens { $min } Zeichen, oder { $least } bei einem Konto mit einem zweiten Faktor. Einige Wörter ohne Zusammenhang sind sicher und leicht zu merken.
code-label = Code aus der E-Mail
app-code-label = Code aus der Authenticator-App
app-picture = QR-Code für Ihre Authenticator-App
app-by-hand = Ohne Kamera einrichten
app-by-hand-text = Geben Sie diesen Schlüssel in Ihre App ein:
app-open = App auf diesem Gerät öffnen
recovery-code-label = Wiederherstellungscode
recovery-code-hint = Einer der Codes, die Sie sich notiert haben. Jeder gilt einmal.
new-password-label = Neues Passwort

## Anmelden

sign-in-title = Anmelden
sign-in-lead = weiter zu { $name }
username-label = Benutzername oder E-Mail-Adresse
password-label = Passwort
shared-computer = Diesen Computer nutzen auch andere
shared-computer-hint = Sie werden abgemeldet, sobald der Browser geschlossen wird.
sign-in = Anmelden
passkey-sign-in = Mit einem Passkey anmelden
passkey-or = oder
passkey-problem = Das hat nicht geklappt. Versuchen Sie es noch einmal, oder machen Sie unten weiter.
forgotten-link = Passwort vergessen?
register-question = Noch kein Konto?
register-link = Konto anlegen

switch-title = Sie sind als { $user } angemeldet
switch-text = Um ein anderes Konto zu nutzen, melden Sie sich zuerst ab.
switch-continue = Weiter als { $user }

step-mfa-title = Bestätigen Sie, dass Sie es sind
step-mfa-text = Geben Sie den Code ein, den Ihre Authenticator-App gerade zeigt.
step-mfa-text-recovery = Geben Sie einen Ihrer Wiederherstellungscodes ein.
step-mfa-text-passkey = Verwenden Sie Ihren Passkey.
step-mfa-text-nothing = Keiner Ihrer zweiten Faktoren kann hier verwendet werden.
step-mfa-elsewhere = Ihr Passkey funktioniert nur bei { $hosts }.
step-mfa-way-out = Melden Sie sich dort an, wo er funktioniert, und fügen Sie Ihrem Konto eine Authenticator-App hinzu: Eine App funktioniert überall. Wenn das nicht geht, bitten Sie die Betreiber von { $name }, Ihren zweiten Faktor zu entfernen. Ein neues Passwort hilft nicht.
step-mfa-passkey = Passkey verwenden
step-mfa-recover = Stattdessen einen Wiederherstellungscode verwenden
step-enrol-title = Authenticator-App einrichten
step-enrol-text = Dieses Konto braucht bei der Anmeldung einen zweiten Schritt. Scannen Sie das Bild mit einer Authenticator-App und geben Sie den Code ein, den sie zeigt.
step-enrol-passkey = Passkey einrichten
step-codes-title = Ihre Wiederherstellungscodes
step-codes-text = Bewahren Sie diese Codes sicher auf. Jeder meldet Sie einmal an, wenn Sie Ihr Gerät verloren haben. Sie werden nicht noch einmal gezeigt.
step-codes-submit = Ich habe sie gesichert
step-password-title = Neues Passwort wählen
step-password-text = Bevor es weitergeht, brauchen Sie ein neues Passwort.
step-address-title = E-Mail-Adresse bestätigen
step-address-text = Wir senden einen Code an diese Adresse.
step-address-submit = Code senden
step-code-title = Sehen Sie in Ihre E-Mails
step-code-text = Wir haben einen Code an { $email } gesendet. Geben Sie ihn hier ein, um fortzufahren.
step-code-resend = Neuen Code senden
step-code-other-address = Andere Adresse verwenden
step-who = Anmeldung als { $user }

## Ein Konto anlegen

register-title = Konto anlegen
register-lead = für { $name }
register-submit = Konto anlegen
email-label = E-Mail-Adresse
email-hint = Wir senden einen Code dorthin.
own-username-label = Benutzername
own-username-hint = Ein kurzer Name, mit dem Sie sich statt mit der Adresse anmelden können.
sign-in-question = Sie haben schon ein Konto?

sent-title = Sehen Sie in Ihre E-Mails
sent-register-text = Wir haben eine E-Mail an { $to } gesendet. Geben Sie den Code daraus ein, oder öffnen Sie den Link in diesem Browser.
sent-help = Nichts angekommen? Sehen Sie im Spam-Ordner nach, oder gehen Sie zurück und prüfen Sie die Adresse.
sent-again = Andere Adresse verwenden
verify-submit = Bestätigen

verify-title = E-Mail-Adresse bestätigen
verify-register-text = Noch ein Klick, und Ihr Konto ist bereit.
verify-register-address = Noch ein Klick, und Ihr Konto für { $email } ist bereit.
verify-elsewhere-text = Dieser Link wurde in einem anderen Browser angefordert. Wählen Sie hier ein Passwort für das Konto, damit niemand sonst es kennen kann.
verify-email-text = Sie wird die Adresse Ihres Kontos.
verify-email-address = { $email } wird die Adresse Ihres Kontos.
verify-sign-in-text = Melden Sie sich bei dem Konto an, für das diese Adresse bestimmt ist, und öffnen Sie den Link dann noch einmal.

verify-another-text = Dieser Link gehört zu einem anderen Konto als dem, bei dem Sie angemeldet sind. Es wurde nichts geändert. Melden Sie sich zuerst ab, und öffnen Sie den Link dann noch einmal.

opened-title = Ihr Konto ist bereit
opened-without-name = Den Benutzernamen hat inzwischen jemand anders gewählt. Das Konto hat deshalb keinen: Melden Sie sich mit der E-Mail-Adresse an. Auf der Kontoseite können Sie einen anderen Namen wählen.
opened-another = Sie sind noch als { $user } angemeldet. Melden Sie sich zuerst ab, um das neue Konto zu nutzen.
opened-account = Zu Ihrem Konto

## Vergessene Passwörter

forgotten-title = Passwort vergessen
forgotten-text = Geben Sie Ihren Benutzernamen oder Ihre E-Mail-Adresse ein. Wir senden Ihnen einen Code, mit dem Sie ein neues Passwort wählen.
forgotten-submit = Code senden
forgotten-back = Zurück zur Anmeldung
sent-reset-text = Gibt es ein Konto für { $to }, ist eine E-Mail dorthin unterwegs. Geben Sie den Code daraus ein, oder öffnen Sie den Link.
reset-title = Neues Passwort wählen
reset-text = Mit der Änderung werden Sie überall sonst abgemeldet.
reset-submit = Passwort speichern

## Das Konto

account-title = Ihr Konto
account-lead = Angemeldet als { $user }
account-sign-out = Abmelden
profile-title = Profil
profile-attributes = Was { $name } über Sie weiß
username-submit = Speichern
address-title = E-Mail-Adresse
address-none = Es gibt keine bestätigte Adresse.
address-now = Ihre Adresse
new-address-label = Neue E-Mail-Adresse
new-address-hint = Sie gilt, sobald Sie sie mit einem Code bestätigt haben.
address-submit = Code senden
address-pending = Wir haben einen Code an { $email } gesendet.
password-title = Passwort
current-password-label = Aktuelles Passwort
password-submit = Passwort ändern
password-note = Hier bleiben Sie angemeldet, überall sonst werden Sie abgemeldet.
factors-title = Zweiter Faktor
factors-text = Mit einem zweiten Faktor kann sich niemand allein mit dem Passwort bei Ihrem Konto anmelden.
factors-none = Es gibt noch keinen.
factor-kind = { $kind ->
    [totp] Authenticator-App
   *[passkey] Passkey
}
factor-added = Hinzugefügt:
factor-used = Zuletzt verwendet:
factor-unused = Noch nicht verwendet
factor-remove = Entfernen
factor-remove-label = Faktor { $number } entfernen: { $name }, hinzugefügt { $added }
factors-again = Um hier etwas zu ändern, melden Sie sich noch einmal an.
factors-again-submit = Noch einmal anmelden
account-again = Um hier etwas zu ändern, melden Sie sich noch einmal mit Ihrem zweiten Faktor an.
factor-last = Das ist Ihr letzter zweiter Faktor. Ohne ihn genügt Ihr Passwort zur Anmeldung.
totp-add = Authenticator-App hinzufügen
passkey-add = Passkey hinzufügen
passkey-one-host = Ein Passkey funktioniert nur bei { $host }. Ihr Konto gilt auch bei anderen Adressen: Eine Authenticator-App funktioniert bei allen.
passkey-make = Passkey anlegen
passkey-make-text = Ihr Gerät fragt Sie, ob Sie es sind.
totp-name-label = Bezeichnung
totp-name-hint = Um sie von anderen zu unterscheiden, etwa „Mein Handy“.
totp-code-hint = Sechs Ziffern, die sich jede halbe Minute ändern.
totp-submit = Bestätigen
recovery-heading = Wiederherstellungscodes
recovery-left = { $count ->
    [0] Es ist keiner mehr übrig. Erzeugen Sie neue, damit Sie auch ohne Ihren zweiten Faktor hineinkommen.
    [one] Es ist noch einer übrig.
   *[other] Es sind noch { $count } übrig.
}
recovery-new = Neue Wiederherstellungscodes erzeugen
recovery-new-hint = Die alten gelten dann nicht mehr. Codes werden nur gezeigt, wenn sie erstellt werden: Erstellen Sie neue, wenn Sie Ihre nicht haben.
sessions-title = Wo Sie angemeldet sind
session-device = { $browser } unter { $system }
session-unknown = Unbekanntes Gerät
session-this = Dieses Gerät
session-used = Zuletzt verwendet:
session-began = Angemeldet:
session-from = von { $address }
session-end = Abmelden
session-end-label = Sitzung { $number } abmelden: { $device }, angemeldet { $began }
sessions-more = Nur die neuesten werden gezeigt.
sessions-end-others = Überall sonst abmelden
sessions-end-all = Überall abmelden
data-title = Ihre Daten
data-text = Alles, was über Sie gespeichert ist, als JSON-Datei.
data-submit = Herunterladen
delete-title = Konto löschen
delete-text = Ihr Profil, Ihre Namen und Adressen, Ihr Passwort und alle Sitzungen werden gelöscht. Es bleibt das Sicherheitsprotokoll: wann Sie sich angemeldet haben und was geändert wurde, von welcher Netzwerkadresse aus, unter einer Nummer, die nie jemand anders bekommt. Das lässt sich nicht rückgängig machen.
delete-open = Mein Konto löschen
delete-password-label = Ihr Passwort
delete-submit = Endgültig löschen

## Abmelden

logout-title = Abmelden?
logout-text = Sie sind als { $user } angemeldet.
logout-text-guest = Sie haben sich nicht angemeldet. Was dieser Browser hier gespeichert hat, wird gelöscht.
logout-submit = Abmelden
logout-stay = Angemeldet bleiben
signed-out-title = Abgemeldet
signed-out-text = Sie sind bei { $name } abgemeldet.
signed-out-everywhere = Sie sind auf allen Geräten abgemeldet.

## Wenn etwas nicht stimmt

cookies-title = Cookies sind blockiert
cookies-text = Dieser Browser sendet das Cookie nicht zurück, mit dem Sie angemeldet bleiben.
cookies-help-settings = Erlauben Sie Cookies für diese Website in den Einstellungen des Browsers.
cookies-help-private = Manche Browser blockieren sie in privaten Fenstern oder bei strengem Schutz: Versuchen Sie es in einem normalen Fenster.
cookies-help-extension = Schalten Sie Erweiterungen aus, die auf dieser Seite Cookies blockieren.
cookies-retry = Noch einmal versuchen
again-title = Das hat zu lange gedauert
again-text = Diese Seite ist abgelaufen. Beginnen Sie noch einmal, dann kommen Sie dorthin, wohin Sie wollten.
again-home-text = Diese Seite ist abgelaufen. Beginnen Sie noch einmal bei { $name }.
again-submit = Noch einmal beginnen

go-on-title = Einen Moment
go-on-text = Sie werden zur gewünschten Seite weitergeleitet.
go-on-submit = Jetzt weiter
error-title = { $kind ->
    [invalid] Das hat nicht geklappt
    [link] Dieser Link funktioniert nicht
    [cross_site] Das kam nicht von unserer Seite
    [denied] Nicht erlaubt
    [not_found] Diese Seite gibt es nicht
    [method] So funktioniert diese Seite nicht
    [too_large] Das war zu viel
    [too_many] Zu viele Versuche
    [unavailable] Wir sind gleich zurück
   *[internal] Da ist etwas schiefgegangen
}
error-text = { $kind ->
    [invalid] Etwas in der Adresse oder im Formular ist nicht zu verstehen.
    [link] Der Link wurde schon verwendet oder ist abgelaufen.
    [cross_site] Das Formular kam von einer anderen Website. Es wurde nichts getan.
    [denied] Das dürfen Sie nicht.
    [not_found] Vielleicht ist die Adresse falsch geschrieben, oder die Seite ist umgezogen.
    [method] Öffnen Sie sie aus der Anwendung.
    [too_large] Was gesendet wurde, ist größer, als wir annehmen.
    [too_many] Warten Sie eine Weile, bevor Sie es noch einmal versuchen.
    [unavailable] Etwas, das wir brauchen, antwortet nicht. Es wurde nichts geändert; versuchen Sie es gleich noch einmal.
   *[internal] Es liegt nicht an Ihnen. Es wurde nichts geändert; versuchen Sie es noch einmal.
}
error-parameter = Was nicht stimmt: { $parameter }
error-request = Anfrage { $id }
error-retry = Noch einmal versuchen

problem-credentials = Name oder Passwort ist falsch.
problem-passkey = Dieser Passkey wurde nicht angenommen. Versuchen Sie es noch einmal, oder melden Sie sich anders an.
problem-new-passkey = Dieser Passkey wurde nicht hinzugefügt. Versuchen Sie es noch einmal, oder nehmen Sie ein anderes Gerät.
problem-too-many-attempts = Zu viele Versuche. Versuchen Sie es in { $minutes ->
    [one] einer Minute
   *[other] { $minutes } Minuten
} wieder.
problem-rate-limited = Zu viele Änderungen in kurzer Zeit. Versuchen Sie es in { $minutes ->
    [one] einer Minute
   *[other] { $minutes } Minuten
} wieder.
problem-overloaded = Gerade ist sehr viel los. Versuchen Sie es in ein paar Sekunden wieder.
problem-in-progress = Bei diesem Konto läuft schon eine andere Anmeldung. Versuchen Sie es in ein paar Sekunden wieder.
problem-unavailable = Etwas, das wir brauchen, antwortet nicht. Versuchen Sie es gleich noch einmal.
problem-failed = Das hat nicht geklappt. Versuchen Sie es noch einmal.
problem-try-again = Die Seite war zu alt. Bitte versuchen Sie es noch einmal.
problem-conflict = Im selben Moment wurde etwas anderes geändert. Bitte versuchen Sie es noch einmal.
problem-not-allowed = Das ist hier nicht erlaubt.
problem-required = Diese Angabe fehlt.
problem-code = Der Code ist falsch, verbraucht oder abgelaufen.
problem-app-code-wrong = Der Code ist falsch oder wurde schon verwendet. Geben Sie den nächsten ein. Wenn keiner angenommen wird, lassen Sie das Gerät seine Uhrzeit selbst stellen.
problem-link = Der Link wurde schon verwendet oder ist abgelaufen. Fordern Sie einen neuen an.
problem-setup-over = Diese Einrichtung ist vorbei: Zu viele Codes waren falsch, sie hat zu lange gedauert, oder Ihr Konto hat sich seither geändert. Beginnen Sie neu.
problem-app-code = Geben Sie die 6 Ziffern ein, die die App zeigt.
problem-recovery-code = Ein Wiederherstellungscode hat 25 Buchstaben und Ziffern.
problem-password = Das Passwort ist falsch.
problem-sign-in-too-old = Melden Sie sich dafür noch einmal an.
problem-password-short = Verwenden Sie mindestens { $min } Zeichen.
problem-password-long = Verwenden Sie ein kürzeres.
problem-password-common = Das ist zu leicht zu erraten. Wählen Sie ein anderes.
problem-password-same = Wählen Sie ein anderes als das aktuelle.
problem-password-characters = Es enthält ein Zeichen, das nicht möglich ist.
problem-email = Geben Sie eine Adresse wie ada@example.org ein.
problem-name = Verwenden Sie Buchstaben, Ziffern und Satzzeichen, aber keine Leerzeichen.
problem-name-address = Ein Benutzername hat kein @.
problem-taken = Das ist vergeben. Wählen Sie etwas anderes.
problem-too-long = Das ist zu lang.
problem-unusable = Das geht hier nicht. Geben Sie etwas anderes ein.
problem-precondition = Das geht jetzt nicht.
problem-form-type = Das Formular kam nicht von einer unserer Seiten.
problem-form-size = Das Formular ist größer als 64 KiB.
problem-form-fields = Das Formular hat zu viele Felder oder eines, das wir nicht kennen.
problem-form-twice = Das Formular hat ein Feld zweimal.
problem-form-text = Das Formular enthält Zeichen, die sich nicht lesen lassen.
problem-form-json = Das Formular ist kein JSON-Objekt.
problem-form-flat = Ein Feld des Formulars ist weder eine Zeichenfolge noch ein Wahrheitswert.
problem-form-late = Das Formular kam nicht rechtzeitig an. Bitte versuchen Sie es noch einmal.

notice-sign-in-expired = Die Anmeldung hat zu lange gedauert. Geben Sie Ihr Passwort noch einmal ein, um fortzufahren.
notice-codes-used-up = Zu viele Codes waren falsch. Geben Sie Ihr Passwort noch einmal ein, um neu zu beginnen.
notice-step-moved = Dieser Schritt ist schon getan, vielleicht in einem anderen Tab. Hier ist der nächste.
notice-code-resent = Wir haben einen neuen Code an { $email } gesendet.
notice-password-reset = Ihr Passwort ist geändert. Melden Sie sich mit dem neuen an.
notice-password-changed = { $ended ->
    [0] Ihr Passwort ist geändert.
    [one] Ihr Passwort ist geändert, und eine andere Sitzung wurde beendet.
   *[other] Ihr Passwort ist geändert, und { $ended } andere Sitzungen wurden beendet.
}
notice-factor-added = Der zweite Faktor ist hinzugefügt. Überall sonst sind Sie abgemeldet.
notice-factor-removed = Der zweite Faktor ist entfernt. Überall sonst sind Sie abgemeldet.
notice-factor-gone = Diesen zweiten Faktor gibt es nicht mehr.
notice-passkey-added = Ihr Passkey ist bereit.
notice-name-changed = Ihr Benutzername ist geändert.
notice-email-confirmed = { $email } ist bestätigt.
notice-account-created = Ihr Konto ist bereit. Melden Sie sich an, um es zu nutzen.
notice-account-created-without-name = Ihr Konto ist bereit. Den Benutzernamen hat inzwischen jemand anders gewählt: Melden Sie sich mit der E-Mail-Adresse an.
notice-code-sent = Wir haben einen Code an { $email } gesendet.
notice-sessions-ended = { $ended ->
    [0] Es gab keine andere Sitzung.
    [one] Eine Sitzung wurde beendet.
   *[other] { $ended } Sitzungen wurden beendet.
}
notice-account-deleted = Ihr Konto ist gelöscht.
notice-sign-in-first = Melden Sie sich an, um fortzufahren.
notice-sign-in-to-confirm = Melden Sie sich bei dem Konto an, für das die Adresse bestimmt ist.

## Die Startseite des Ausstellers

home-title = { $name }
home-text = Melden Sie sich an, um Ihr Konto zu sehen.
home-signed-in = Sie sind als { $user } angemeldet.
home-account = Ihr Konto
home-dev = Was sich ausprobieren lässt

## Entwicklung

dev-title = Bereit zum Ausprobieren
dev-text = Dieser Server läuft zur Entwicklung. Seine Passwörter kennt jeder.
dev-user = Ein Benutzer zum Anmelden
dev-links = Im Browser
dev-commands = Auf der Kommandozeile
dev-user-name = Benutzername
dev-user-password = Passwort
dev-try-sign-in = Anmelden
dev-try-register = Ein Konto anlegen
dev-try-account = Ihr Konto ansehen
dev-try-mail = Die aufbewahrten E-Mails lesen
dev-try-api = Jeder Aufruf als JSON über HTTP, mit einer Zeile zum Einfügen
dev-try-app = Die Anwendung öffnen
dev-try-keys = Die Schlüssel zum Prüfen von Tokens holen
dev-try-metadata = Die Metadaten holen
dev-try-login = Über gRPC anmelden
dev-try-services = Die Dienste auflisten
dev-try-check = Fragen, wem ein Cookie gehört
