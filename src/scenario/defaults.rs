//! Defaults — decides whether a value is what holds where nothing is written, and need not be written itself. It never
//! says what that is.

/// Whether this value is its type's default.
pub fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
