/* The methods that a program calls most, in C. `shortcut.py` says what for, and puts them on the classes of spans.

Each does in the most common case what its twin in Python does, and has the twin do all else: there is no second rule
here, only a second way to the same.

What is called here is known exactly (the clock, a deque, a count, the context variable, a dict with plain values; twins
and `set_attributes` last), and none of it runs Python, lets another thread in or looks for signals; but for one thing: up
to CPython 3.11 making an object may start the garbage collector, and finalizers may do anything. So what was looked at
before is looked at again after that, as the twin does; and what is let go of, which may be the last reference to something
with a finalizer, is let go of last. */

#include <Python.h>
#include <structmember.h>

#ifdef Py_GIL_DISABLED
#error "these rely on the interpreter's lock"
#endif

/* Where the objects of one class keep what a slot of it describes. */
struct slot {
    PyTypeObject *type;
    Py_ssize_t offset;
};

static struct slot span_name, span_type, span_trace, span_parent, span_attributes, span_writable;
static struct slot span_details, span_token, span_start, span_index, span_end;
static struct slot trace_settings, trace_buffer, trace_clock;
static struct slot tracer_settings, tracer_span_class;
static struct slot settings_counters, counters_ids, ids_indexes;
static struct slot settings_refuses_roots, settings_unsampled_class, settings_unsampled_counter;
static struct slot buffer_queue, buffer_limit, buffer_is_drained;

static const struct {
    const char *name;
    struct slot *slot;
} slots[] = {
    {"ReadableSpan.name", &span_name},
    {"ReadableSpan.span_type", &span_type},
    {"ReadableSpan._trace", &span_trace},
    {"ReadableSpan._parent", &span_parent},
    {"ReadableSpan._attributes", &span_attributes},
    {"ReadableSpan._writable", &span_writable},
    {"ReadableSpan._details", &span_details},
    {"ReadableSpan._token", &span_token},
    {"ReadableSpan._start", &span_start},
    {"ReadableSpan._index", &span_index},
    {"ReadableSpan._end", &span_end},
    {"LocalTrace.settings", &trace_settings},
    {"LocalTrace.buffer", &trace_buffer},
    {"LocalTrace.clock", &trace_clock},
    {"Settings.counters", &settings_counters},
    {"Settings.refuses_roots", &settings_refuses_roots},
    {"Settings.unsampled_class", &settings_unsampled_class},
    {"Settings.unsampled_counter", &settings_unsampled_counter},
    {"Counters.ids", &counters_ids},
    {"IdGenerator.indexes", &ids_indexes},
    {"Buffer.queue", &buffer_queue},
    {"Buffer.limit", &buffer_limit},
    {"Buffer.is_drained", &buffer_is_drained},
};
#define SLOTS (sizeof slots / sizeof slots[0])

static PyObject *current_span, *left, *closed, *custom, *no_span, *unsampled;
static PyTypeObject *deque, *span_types;
static PyCFunction monotonic_ns; /* not its object: libraries that travel in time put another function into that */
static Py_ssize_t quick_attributes, quick_string;
static PyObject *append, *left_class, *set_attributes;
static PyObject *enter_in_python, *exit_in_python, *set_attribute_in_python, *span_in_python;
static PyObject *parameters[3]; /* of `Tracer.span`, those that the common case gives */

/* The place of a slot in an object that is known to be of its class: every `self` here is a span. */
static inline PyObject **
place(PyObject *object, const struct slot *slot)
{
    return (PyObject **)((char *)object + slot->offset);
}

/* What a slot holds, borrowed; NULL for nothing, and for an object of another class. */
static inline PyObject *
held(PyObject *object, const struct slot *slot)
{
    return object != NULL && PyObject_TypeCheck(object, slot->type) ? *place(object, slot) : NULL;
}

static inline int
is_known_clock(PyObject *clock)
{
    return clock != NULL && PyCFunction_CheckExact(clock) && PyCFunction_GET_FUNCTION(clock) == monotonic_ns;
}

static inline int
is_current(PyObject *span)
{
    PyObject *current = NULL;
    if (PyContextVar_Get(current_span, NULL, &current) < 0) {
        PyErr_Clear();
        return 0;
    }
    Py_XDECREF(current);
    return current == span;
}

/* Have the twin do it. Where no stack is left for that, give `otherwise`: it is nothing to tell the program. */
static PyObject *
call_twin(PyObject *name, PyObject *self, PyObject *const *arguments, Py_ssize_t positional, PyObject *names,
          PyObject *otherwise)
{
    Py_ssize_t count = positional + (names == NULL ? 0 : PyTuple_GET_SIZE(names));
    PyObject *few[8], **all = count < 8 ? few : PyMem_New(PyObject *, count + 1);
    if (all == NULL) {
        return PyErr_NoMemory();
    }
    all[0] = self;
    for (Py_ssize_t i = 0; i < count; i++) {
        all[i + 1] = arguments[i];
    }
    PyObject *result = PyObject_VectorcallMethod(name, all, positional + 1, names);
    if (all != few) {
        PyMem_Free(all);
    }
    if (result == NULL && PyErr_ExceptionMatches(PyExc_RecursionError)) {
        PyErr_Clear();
        return Py_NewRef(otherwise);
    }
    return result;
}

/* --- a span that is recorded ------------------------------------------------------------------------------------- */

static PyObject *
span_enter(PyObject *self, PyObject *Py_UNUSED(nothing))
{
    PyObject *trace = *place(self, &span_trace), *clock = held(trace, &trace_clock);
    PyObject *counters = held(held(trace, &trace_settings), &settings_counters);
    PyObject *indexes = held(held(counters, &counters_ids), &ids_indexes);
    if (*place(self, &span_token) != Py_None || !is_known_clock(clock) || indexes == NULL || !PyIter_Check(indexes)) {
        return call_twin(enter_in_python, self, NULL, 0, NULL, self);
    }
    PyObject *token = PyContextVar_Set(current_span, self);
    if (token != NULL) {
        PyObject *start = PyObject_CallNoArgs(clock);
        PyObject *index = start == NULL ? NULL : PyIter_Next(indexes);
        if (index != NULL) {
            Py_XSETREF(*place(self, &span_start), start);
            Py_XSETREF(*place(self, &span_index), index);
            Py_XSETREF(*place(self, &span_token), token);
            return Py_NewRef(self);
        }
        Py_XDECREF(start);
        PyObject *type, *error, *traceback;
        PyErr_Fetch(&type, &error, &traceback);
        if (PyContextVar_Reset(current_span, token) < 0) {
            PyErr_Clear();
        }
        PyErr_Restore(type, error, traceback);
        Py_DECREF(token);
    }
    if (PyErr_Occurred() && !PyErr_ExceptionMatches(PyExc_Exception)) {
        return NULL;
    }
    PyErr_Clear(); /* no stack or no memory is left, so the span stays as it was, not started */
    return Py_NewRef(self);
}

/* Whether the buffer takes what ends into it without being asked. */
static int
is_open(PyObject *buffer)
{
    PyObject *queue = held(buffer, &buffer_queue), *limit = held(buffer, &buffer_limit);
    if (queue == NULL || !Py_IS_TYPE(queue, deque) || limit == NULL || !PyLong_CheckExact(limit)) {
        return 0;
    }
    Py_ssize_t most = PyLong_AsSsize_t(limit);
    if (most == -1 && PyErr_Occurred()) {
        PyErr_Clear();
        return 0;
    }
    return PyObject_Size(queue) < most;
}

/* Whether no reference that a span holds leads back to it for long, so that the collector need not look at it while it is
queued, which is a fifth of what a span costs a program that makes many. It has ended the common way, so it has small
values and no details, and its parents know of no child. Its trace leads to the queue that it is in, but a worker takes
it out of that, has it know its parent by an id, and gives it back to the collector if anybody else holds it (`track`). */
static int
holds_itself_not_for_long(PyObject *self, PyObject *buffer)
{
    PyObject *name = *place(self, &span_name), *type = *place(self, &span_type);
    return held(buffer, &buffer_is_drained) == Py_True &&
           Py_TYPE(self)->tp_basicsize == span_token.type->tp_basicsize && name != NULL && PyUnicode_CheckExact(name) &&
           type != NULL && (Py_IS_TYPE(type, span_types) || PyUnicode_CheckExact(type));
}

/* Queue a span that was left, and has its end; whether that could be. */
static int
is_queued(PyObject *self, PyObject *buffer)
{
    PyObject *writable = *place(self, &span_writable);
    *place(self, &span_writable) = Py_NewRef(closed);
    PyObject *done = PyObject_CallMethodOneArg(held(buffer, &buffer_queue), append, self);
    if (done == NULL) {
        Py_XSETREF(*place(self, &span_writable), writable);
        return 0;
    }
    Py_DECREF(done);
    Py_XDECREF(writable);
    if (holds_itself_not_for_long(self, buffer)) {
        PyObject_GC_UnTrack(self);
    }
    return 1;
}

/* Leave a span the common way; whether that could be, wholly. What was begun the twin finishes. */
static int
is_left_quickly(PyObject *self)
{
    PyObject *trace = *place(self, &span_trace), *clock = held(trace, &trace_clock);
    PyObject *buffer = held(trace, &trace_buffer), *token = *place(self, &span_token);
    if (*place(self, &span_details) != Py_None || token == NULL || !PyContextToken_CheckExact(token) ||
        !is_known_clock(clock) || !is_open(buffer) || !is_current(self)) {
        return 0;
    }
    PyObject *end = PyObject_CallNoArgs(clock);
    int is_done = 0;
    Py_INCREF(token); /* with it goes what was current before */
    Py_INCREF(buffer);
    Py_XSETREF(*place(self, &span_end), Py_XNewRef(end)); /* before: who ends it in the middle knows better */
    if (end != NULL && PyContextVar_Reset(current_span, token) == 0) {
        Py_XSETREF(*place(self, &span_token), Py_NewRef(left));
        is_done = *place(self, &span_details) == Py_None && *place(self, &span_writable) != closed && is_open(buffer) &&
                  is_queued(self, buffer);
    }
    if (!is_done) {
        PyErr_Clear(); /* another context than it was entered in, or there is no stack or no memory left */
    }
    Py_XDECREF(end);
    Py_DECREF(buffer);
    Py_DECREF(token);
    return is_done;
}

static PyObject *
span_exit(PyObject *self, PyObject *const *arguments, Py_ssize_t positional, PyObject *names)
{
    if (positional == 3 && names == NULL && arguments[1] == Py_None && is_left_quickly(self)) {
        Py_RETURN_NONE;
    }
    PyObject *result = call_twin(exit_in_python, self, arguments, positional, names, Py_NotImplemented);
    if (result != Py_NotImplemented) {
        return result;
    }
    Py_DECREF(result);
    /* No stack is left for more; `settle_current` ends it once there is. */
    PyObject *becomes = PyObject_GetAttr((PyObject *)Py_TYPE(self), left_class);
    if (becomes == NULL || PyObject_SetAttrString(self, "__class__", becomes) < 0) {
        PyErr_Clear();
    }
    Py_XDECREF(becomes);
    Py_RETURN_NONE;
}

static int
is_small(PyObject *value)
{
    if (PyUnicode_CheckExact(value)) {
        return PyUnicode_GET_LENGTH(value) <= quick_string;
    }
    return PyLong_CheckExact(value) || PyFloat_CheckExact(value) || PyBool_Check(value);
}

static PyObject *
span_set_attribute(PyObject *self, PyObject *const *arguments, Py_ssize_t positional, PyObject *names)
{
    PyObject *writable = *place(self, &span_writable);
    if (positional == 2 && names == NULL && PyUnicode_CheckExact(arguments[0]) && is_small(arguments[1]) &&
        writable != NULL && PyDict_CheckExact(writable) && PyDict_GET_SIZE(writable) < quick_attributes) {
        Py_INCREF(writable);
        int failed = PyDict_SetItem(writable, arguments[0], arguments[1]);
        Py_DECREF(writable);
        if (!failed) {
            Py_RETURN_NONE;
        }
        PyErr_Clear(); /* there is no memory, and the twin says so */
    }
    return call_twin(set_attribute_in_python, self, arguments, positional, names, Py_None);
}

/* --- what stands for a span that is not -------------------------------------------------------------------------- */

static PyObject *
root_enter(PyObject *self, PyObject *Py_UNUSED(nothing))
{
    if (*place(self, &span_token) == Py_None) {
        PyObject *token = PyContextVar_Set(current_span, self);
        if (token == NULL) {
            return NULL;
        }
        Py_XSETREF(*place(self, &span_token), token);
    }
    return Py_NewRef(self);
}

static PyObject *
root_exit(PyObject *self, PyObject *const *arguments, Py_ssize_t positional, PyObject *names)
{
    PyObject *token = *place(self, &span_token);
    if (positional == 3 && names == NULL && token != NULL && PyContextToken_CheckExact(token) && is_current(self)) {
        Py_INCREF(token);
        int failed = PyContextVar_Reset(current_span, token);
        Py_DECREF(token);
        if (!failed) {
            Py_RETURN_NONE;
        }
        PyErr_Clear();
    }
    return call_twin(exit_in_python, self, arguments, positional, names, Py_None);
}

static PyObject *
silent_exit(PyObject *self, PyObject *const *arguments, Py_ssize_t positional, PyObject *names)
{
    if (positional == 3 && names == NULL) {
        Py_RETURN_NONE;
    }
    return call_twin(exit_in_python, self, arguments, positional, names, Py_None);
}

static PyObject *
silent_set_attribute(PyObject *self, PyObject *const *arguments, Py_ssize_t positional, PyObject *names)
{
    if (positional == 2 && names == NULL) {
        Py_RETURN_NONE;
    }
    return call_twin(set_attribute_in_python, self, arguments, positional, names, Py_None);
}

/* --- making a span ----------------------------------------------------------------------------------------------- */

/* Sort what `Tracer.span` was given by its first three parameters; whether that is all that there is. */
static int
is_plain_call(PyObject *const *arguments, Py_ssize_t positional, PyObject *names, PyObject *given[3])
{
    Py_ssize_t named = names == NULL ? 0 : PyTuple_GET_SIZE(names);
    if (positional > 3) {
        return 0;
    }
    for (Py_ssize_t i = 0; i < positional; i++) {
        given[i] = arguments[i];
    }
    for (Py_ssize_t i = 0; i < named; i++) {
        int parameter = 0;
        while (parameter < 3 && PyTuple_GET_ITEM(names, i) != parameters[parameter]) {
            parameter++;
        }
        if (parameter == 3 || given[parameter] != NULL) {
            return 0;
        }
        given[parameter] = arguments[positional + i];
    }
    return given[0] != NULL && (given[2] == NULL || given[2] == Py_None || PyDict_CheckExact(given[2]));
}

static inline PyObject *
new_object(PyObject *type)
{
    return ((PyTypeObject *)type)->tp_alloc((PyTypeObject *)type, 0);
}

/* A span below the one that is current, of its class. */
static PyObject *
child(PyObject *type, PyObject *current, PyObject *given[3])
{
    PyObject *trace = Py_XNewRef(*place(current, &span_trace)), *attributes = PyDict_New();
    PyObject *span = attributes == NULL || trace == NULL ? NULL : new_object(type);
    if (span == NULL) {
        Py_XDECREF(trace);
        Py_XDECREF(attributes);
        return NULL;
    }
    *place(span, &span_name) = Py_NewRef(given[0]);
    *place(span, &span_type) = Py_NewRef(given[1] == NULL || given[1] == Py_Ellipsis ? custom : given[1]);
    *place(span, &span_trace) = trace;
    *place(span, &span_parent) = Py_NewRef(current);
    *place(span, &span_attributes) = attributes;
    *place(span, &span_writable) = Py_NewRef(attributes);
    *place(span, &span_details) = Py_NewRef(Py_None);
    *place(span, &span_token) = Py_NewRef(Py_None);
    return span;
}

static PyObject *
unsampled_root(PyObject *type)
{
    PyObject *span = new_object(type);
    if (span != NULL) {
        *place(span, &span_token) = Py_NewRef(Py_None);
    }
    return span;
}

/* What `Tracer.span` gives without looking further; NULL, and maybe an error, where it must. */
static PyObject *
made_quickly(PyObject *tracer, PyObject *settings, PyObject *current, PyObject *given[3])
{
    PyObject *type = (PyObject *)Py_TYPE(current), *counter = held(settings, &settings_unsampled_counter);
    PyObject *unsampled_class = held(settings, &settings_unsampled_class);
    if (settings == Py_None) {
        return Py_NewRef(no_span);
    }
    if (unsampled_class == NULL || counter == NULL || !PyIter_Check(counter)) {
        return NULL;
    }
    if (type == *place(tracer, &tracer_span_class)) {
        return child(type, current, given);
    }
    int is_root = current == Py_None && held(settings, &settings_refuses_roots) == Py_True;
    if (!is_root && type != unsampled_class) {
        return NULL;
    }
    PyObject *number = PyIter_Next(counter);
    Py_XDECREF(number);
    return number == NULL ? NULL : is_root ? unsampled_root(unsampled_class) : Py_NewRef(unsampled);
}

static PyObject *
tracer_span(PyObject *self, PyObject *const *arguments, Py_ssize_t positional, PyObject *names)
{
    PyObject *given[3] = {NULL, NULL, NULL}, *current = NULL, *span = NULL;
    if (is_plain_call(arguments, positional, names, given) && PyContextVar_Get(current_span, NULL, &current) == 0 &&
        current != NULL) {
        PyObject *settings = Py_XNewRef(*place(self, &tracer_settings)); /* with the classes of its spans */
        span = made_quickly(self, settings, current, given);
        Py_XDECREF(settings);
        Py_DECREF(current);
    }
    int is_recorded = span != NULL && *place(span, &span_attributes) != NULL;
    if (is_recorded && given[2] != NULL && given[2] != Py_None && PyDict_GET_SIZE(given[2]) > 0) {
        PyObject *done = PyObject_CallMethodOneArg(span, set_attributes, given[2]);
        if (done == NULL) {
            Py_CLEAR(span);
            if (!PyErr_ExceptionMatches(PyExc_Exception)) {
                return NULL; /* a signal handler of the user's raised */
            }
        }
        Py_XDECREF(done);
    }
    if (span != NULL) {
        return span;
    }
    PyErr_Clear(); /* no memory or no stack is left, and the twin tells */
    return call_twin(span_in_python, self, arguments, positional, names, no_span);
}

/* --- the module -------------------------------------------------------------------------------------------------- */

#define FAST(function) (PyCFunction)(void (*)(void))(function), METH_FASTCALL | METH_KEYWORDS
#define ENTER "__enter__($self)\n--\n\n"
#define EXIT "__exit__($self, exc_type, exc, traceback)\n--\n\n"
#define SET_ATTRIBUTE \
    "set_attribute($self, key, value)\n--\n\n" \
    "Record a value under a name, as it is now; later changes of the object are not seen."

static PyMethodDef of_any[] = {
    {"set_attribute", FAST(span_set_attribute), SET_ATTRIBUTE},
    {NULL, NULL, 0, NULL},
};
static PyMethodDef of_recorded[] = {
    {"__enter__", span_enter, METH_NOARGS, ENTER},
    {"__exit__", FAST(span_exit), EXIT},
    {NULL, NULL, 0, NULL},
};
static PyMethodDef of_root[] = {
    {"__enter__", root_enter, METH_NOARGS, ENTER},
    {"__exit__", FAST(root_exit), EXIT},
    {"set_attribute", FAST(silent_set_attribute), SET_ATTRIBUTE},
    {NULL, NULL, 0, NULL},
};
static PyMethodDef of_shared[] = {
    {"__exit__", FAST(silent_exit), EXIT},
    {"set_attribute", FAST(silent_set_attribute), SET_ATTRIBUTE},
    {NULL, NULL, 0, NULL},
};

static const struct {
    const char *name;
    PyMethodDef *definitions;
} kinds[] = {{"any", of_any}, {"recorded", of_recorded}, {"unsampled root", of_root}, {"shared", of_shared}};

/* methods(kind, class): the short cuts for a class of spans of this kind, as a dict by their names.

CPython would be quicker to call a method that is for exactly this class. But a span may become of another, between when
a method is looked up and when it is called: so all are for spans of every class. */
static PyObject *
methods(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    const char *kind;
    PyTypeObject *type;
    if (!PyArg_ParseTuple(arguments, "sO!", &kind, &PyType_Type, &type)) {
        return NULL;
    }
    PyMethodDef *found = NULL;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strcmp(kinds[i].name, kind) == 0) {
            found = kinds[i].definitions;
        }
    }
    if (found == NULL || current_span == NULL || !PyType_IsSubtype(type, span_token.type)) {
        PyErr_SetString(PyExc_TypeError, "there are no short cuts for such a class");
        return NULL;
    }
    PyObject *made = PyDict_New();
    for (; made != NULL && found->ml_name != NULL; found++) {
        PyObject *method = PyDescr_NewMethod(span_token.type, found);
        if (method == NULL || PyDict_SetItemString(made, found->ml_name, method) < 0) {
            Py_CLEAR(made);
        }
        Py_XDECREF(method);
    }
    return made;
}

static struct slot
slot_of(PyObject *member)
{
    PyMemberDescrObject *description = (PyMemberDescrObject *)member;
    return (struct slot){description->d_common.d_type, description->d_member->offset};
}

/* begin(current_span, LEFT, CLOSED, QUICK_ATTRIBUTES, QUICK_STRING, monotonic_ns, deque, SpanType, slots): what all this
works with; slots by the names above. Once for the process: a second interpreter in it has classes of its own, and goes
without. */
static PyObject *
begin(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    PyObject *variable, *marker, *full, *clock, *members;
    PyTypeObject *queue, *types;
    Py_ssize_t attributes, letters;
    struct slot read[SLOTS];
    if (!PyArg_ParseTuple(
            arguments, "O!OOnnO!O!O!O!", &PyContextVar_Type, &variable, &marker, &full, &attributes, &letters,
            &PyCFunction_Type, &clock, &PyType_Type, &queue, &PyType_Type, &types, &PyDict_Type, &members)) {
        return NULL;
    }
    if (current_span != NULL) {
        PyErr_SetString(PyExc_TypeError, "it has begun");
        return NULL;
    }
    for (size_t i = 0; i < SLOTS; i++) {
        PyObject *member = PyDict_GetItemString(members, slots[i].name);
        if (member == NULL || !Py_IS_TYPE(member, &PyMemberDescr_Type)) {
            PyErr_Format(PyExc_TypeError, "%s is not given, or no slot", slots[i].name);
            return NULL;
        }
        read[i] = slot_of(member);
    }
    for (size_t i = 0; i < SLOTS; i++) {
        *slots[i].slot = read[i];
        Py_INCREF(read[i].type); /* for ever */
    }
    left = Py_NewRef(marker);
    closed = Py_NewRef(full);
    quick_attributes = attributes;
    quick_string = letters;
    monotonic_ns = PyCFunction_GET_FUNCTION(clock);
    deque = (PyTypeObject *)Py_NewRef(queue);
    span_types = (PyTypeObject *)Py_NewRef(types);
    current_span = Py_NewRef(variable);
    Py_RETURN_NONE;
}

/* begin_tracer(Tracer, settings, span_class, CUSTOM, NO_SPAN, UNSAMPLED, doc): a `Tracer.span`, where all has begun. */
static PyObject *
begin_tracer(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    static PyMethodDef of_tracer = {"span", FAST(tracer_span), NULL};
    PyObject *type, *members[2], *known[3], *doc;
    if (!PyArg_ParseTuple(
            arguments, "O!O!O!OOOU", &PyType_Type, &type, &PyMemberDescr_Type, &members[0], &PyMemberDescr_Type,
            &members[1], &known[0], &known[1], &known[2], &doc)) {
        return NULL;
    }
    if (current_span == NULL || no_span != NULL || (of_tracer.ml_doc = PyUnicode_AsUTF8(doc)) == NULL) {
        return PyErr_Occurred() ? NULL : PyErr_Format(PyExc_TypeError, "it has begun, or the rest has not");
    }
    Py_INCREF(doc); /* for ever, as what follows */
    tracer_settings = slot_of(members[0]);
    tracer_span_class = slot_of(members[1]);
    custom = Py_NewRef(known[0]);
    no_span = Py_NewRef(known[1]);
    unsampled = Py_NewRef(known[2]);
    return PyDescr_NewMethod((PyTypeObject *)type, &of_tracer);
}

/* track(spans): have the collector look again at those in a list that anybody else holds, and may be held by. */
static PyObject *
track(PyObject *Py_UNUSED(module), PyObject *spans)
{
    if (!PyList_CheckExact(spans)) {
        return PyErr_Format(PyExc_TypeError, "not a list");
    }
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(spans); i++) {
        PyObject *span = PyList_GET_ITEM(spans, i);
        if (Py_REFCNT(span) > 1 && PyObject_TypeCheck(span, span_token.type) && !PyObject_GC_IsTracked(span)) {
            PyObject_GC_Track(span);
        }
    }
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"begin", begin, METH_VARARGS, NULL},
    {"begin_tracer", begin_tracer, METH_VARARGS, NULL},
    {"methods", methods, METH_VARARGS, NULL},
    {"track", track, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "prela.core._shortcut", NULL, -1, functions, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC
PyInit__shortcut(void)
{
    static const struct {
        PyObject **name;
        const char *text;
    } names[] = {
        {&append, "append"},
        {&left_class, "_left_class"},
        {&enter_in_python, "_enter_in_python"},
        {&exit_in_python, "_exit_in_python"},
        {&set_attribute_in_python, "_set_attribute_in_python"},
        {&span_in_python, "_span_in_python"},
        {&set_attributes, "set_attributes"},
        {&parameters[0], "name"},
        {&parameters[1], "span_type"},
        {&parameters[2], "attributes"},
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if ((*names[i].name = PyUnicode_InternFromString(names[i].text)) == NULL) {
            return NULL;
        }
    }
    return PyModule_Create(&definition);
}
