//! Rows with names over the columns: `reads!` declares both what a rule reads and the struct that it is read into.

use crate::leads::Leads;

/// A row that `reads!` declared.
pub trait Row<'a> {
    fn read(leads: &'a Leads, lead: usize) -> Self;
}

/// Declares the fields that a rule reads, as a struct with one member for each.
///
/// Kinds: `boolean` → `Option<bool>`, `integer` → `Option<i64>`, `text` → `Option<&str>`, `integer_list` → `&[i64]`,
/// `text_list` → `TextList`. Beside the members, `Lead::reads()` answers the declaration for the descriptor, and a constant
/// of the member's name (`Lead::employees`) is the field's position, for reasons and missing fields.
#[macro_export]
macro_rules! reads {
    ($(#[$meta:meta])* $vis:vis struct $name:ident {
        $($member:ident : $kind:ident = $path:literal),+ $(,)?
    }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug)]
        $vis struct $name<'a> {
            $($member: $crate::__row_type!('a $kind),)+
            // Keeps the lifetime in use for rows without borrowed members.
            _row: ::core::marker::PhantomData<&'a ()>,
        }

        const _: () = {
            #[expect(non_camel_case_types, reason = "variants repeat the members' names")]
            enum Position { $($member),+ }

            #[expect(non_upper_case_globals, reason = "a field's position bears the member's name")]
            impl $name<'_> {
                $($vis const $member: u16 = Position::$member as u16;)+
            }
        };

        impl $name<'_> {
            /// The declaration, for the descriptor.
            $vis fn reads() -> ::std::vec::Vec<$crate::Field> {
                ::std::vec![$($crate::Field::new($path, $crate::__row_kind!($kind))),+]
            }
        }

        impl<'a> $crate::Row<'a> for $name<'a> {
            fn read(leads: &'a $crate::Leads, lead: usize) -> Self {
                $name {
                    $($member: $crate::__row_value!($kind, leads, Self::$member as usize, lead),)+
                    _row: ::core::marker::PhantomData,
                }
            }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __row_type {
    ($a:lifetime boolean) => { ::core::option::Option<bool> };
    ($a:lifetime integer) => { ::core::option::Option<i64> };
    ($a:lifetime text) => { ::core::option::Option<&$a str> };
    ($a:lifetime integer_list) => { &$a [i64] };
    ($a:lifetime text_list) => { $crate::TextList<$a> };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __row_kind {
    (boolean) => {
        $crate::Kind::Boolean
    };
    (integer) => {
        $crate::Kind::Integer
    };
    (text) => {
        $crate::Kind::Text
    };
    (integer_list) => {
        $crate::Kind::IntegerList
    };
    (text_list) => {
        $crate::Kind::TextList
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __row_value {
    (boolean, $leads:expr, $at:expr, $lead:expr) => {
        $leads.boolean($at, $lead)
    };
    (integer, $leads:expr, $at:expr, $lead:expr) => {
        $leads.integer($at, $lead)
    };
    (text, $leads:expr, $at:expr, $lead:expr) => {
        $leads.text($at, $lead)
    };
    (integer_list, $leads:expr, $at:expr, $lead:expr) => {
        $leads.integers($at, $lead)
    };
    (text_list, $leads:expr, $at:expr, $lead:expr) => {
        $leads.texts($at, $lead)
    };
}
