# Some messages in a language that is written from right to left, to see that the pages turn around. The rest is in English.

direction = rtl
language-name = العربية
language-label = اللغة
page-title = { $page } · { $name }
page-title-wrong = خطأ: { $page } · { $name }
date = { $day } { $month ->
    [1] يناير
    [2] فبراير
    [3] مارس
    [4] أبريل
    [5] مايو
    [6] يونيو
    [7] يوليو
    [8] أغسطس
    [9] سبتمبر
    [10] أكتوبر
    [11] نوفمبر
   *[12] ديسمبر
} { $year }، { $time } UTC
optional = اختياري
show-password = إظهار
show-password-label = إظهار كلمة المرور
hide-password = إخفاء
back-to = العودة إلى { $name }
continue = متابعة
problems = { $count ->
    [one] هناك مشكلة
   *[other] هناك { $count } مشاكل
}
problem-of-field = { $field }: { $problem }
password-hint = { $min } حرفًا على الأقل. بضع كلمات لا علاقة بينها قوية وسهلة التذكر.
code-label = الرمز من البريد الإلكتروني
new-password-label = كلمة مرور جديدة
sign-in-title = تسجيل الدخول
sign-in-lead = للمتابعة إلى { $name }
username-label = اسم المستخدم أو البريد الإلكتروني
password-label = كلمة المرور
shared-computer = هذا حاسوب مشترك
shared-computer-hint = يتم تسجيل خروجك عند إغلاق المتصفح.
sign-in = تسجيل الدخول
forgotten-link = هل نسيت كلمة المرور؟
register-question = ليس لديك حساب؟
register-link = إنشاء حساب
register-title = إنشاء حساب
register-lead = لدى { $name }
register-submit = إنشاء حساب
email-label = البريد الإلكتروني
email-hint = نرسل إليه رمزًا.
own-username-label = اسم المستخدم
sign-in-question = لديك حساب بالفعل؟
sent-title = تحقق من بريدك
sent-register-text = أرسلنا رسالة إلى { $to }. أدخل الرمز منها.
verify-submit = تأكيد
account-title = حسابك
account-lead = تم تسجيل الدخول باسم { $user }
account-sign-out = تسجيل الخروج
profile-title = الملف الشخصي
username-submit = حفظ
address-title = البريد الإلكتروني
address-now = عنوانك
new-address-label = بريد إلكتروني جديد
address-submit = إرسال الرمز
password-title = كلمة المرور
current-password-label = كلمة المرور الحالية
password-submit = تغيير كلمة المرور
sessions-title = أين سجلت الدخول
session-device = { $browser } على { $system }
session-this = هذا الجهاز
session-used = آخر استخدام
session-began = تسجيل الدخول
session-from = من { $address }
session-end = تسجيل الخروج
sessions-end-others = تسجيل الخروج من كل مكان آخر
sessions-end-all = تسجيل الخروج من كل مكان
data-title = بياناتك
data-submit = تنزيل
delete-title = حذف الحساب
delete-open = حذف حسابي
logout-title = تسجيل الخروج؟
logout-text = تم تسجيل الدخول باسم { $user }.
logout-submit = تسجيل الخروج
logout-stay = البقاء
signed-out-title = تم تسجيل الخروج
signed-out-text = تم تسجيل خروجك من { $name }.
signed-out-everywhere = تم تسجيل خروجك من جميع الأجهزة.
problem-credentials = الاسم أو كلمة المرور غير صحيحة.
problem-required = هذا مطلوب.
